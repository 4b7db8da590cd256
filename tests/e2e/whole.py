# SPDX-License-Identifier: ISC
"""A server with all that a page can show, and with an agent of every kind; used by the examples for clients and by the journeys."""
from accounts import Accounts
from conftest import SECRET, Server, entry, free_port

USER, USER_PASSWORD = "ann", "Password1234"
REPORTERS = ("demo", "second")


class Whole(Accounts):
    """`origins`: pages of other sites that may connect; `only`: these plugins beside the store and auth_accounts."""

    def __init__(self, folder, origins=(), entries=None, session="", relay="", status="", limits="", console="", only=None):
        super().__init__("sqlite", folder, session=False, limits=limits)
        self.origins, self.port = list(origins), free_port()
        servers = ", ".join(entries or [entry(id, name=f"Machine {id}", group="lab", country="DE") for id in REPORTERS])
        self.more = [
            f'{{ name = "auth_static"; config = {{ servers = ( {servers} ); }}; }}', '{ name = "machines"; }',
            f'{{ name = "session"; config = {{ jwt_secret = "a-session-secret-of-the-tests-0123456789"; failed_auths_per_minute = 100000; {session} }}; }}',
            '{ name = "admin_push"; }', f'{{ name = "server_status"; config = {{ {status} }}; }}', f'{{ name = "relay"; config = {{ {relay} }}; }}',
            f'{{ name = "console"; config = {{ {console} }}; }}']
        if only:
            self.more = [each for each in self.more if each.split('"')[1] in only]
        self.secrets.add(SECRET)

    def plugins(self):
        return [each for each in super().plugins() if '"counters"' not in each]

    def start(self):
        self.folder.mkdir(exist_ok=True)
        if self.server:  # the log of before says "ready" too
            self.judge()
            self.server.log_path.unlink()
        origins = ", ".join(f'"{each}"' for each in self.origins)
        listen = f'{{ address = "127.0.0.1"; port = {self.port}; origins = [ {origins} ]; }}'
        self.server = Server(self.folder, self.plugins(), listen, more=f"limits = {{ {self.limits} }};", port=self.port)
        return self

    def endpoint(self, token, **more):
        answer = self.call("POST", "/api/endpoints", more, token)
        assert answer.status == 201, answer
        return answer.data["endpoint"]
