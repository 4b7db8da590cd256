# SPDX-License-Identifier: ISC
"""A mail server (aiosmtpd) that keeps what it gets, and refuses and breaks off by request."""
import email
import email.policy
import ssl

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult


class Mailbox:
    """tls: a Pair for "starttls" or "wrapped"; login: (user, password) that it asks for."""

    def __init__(self, port, tls=None, how=None, login=None):
        self.port, self.got, self.logins, self.refuse, self.refuse_to = port, [], [], 0, None
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
        box = self

        def judge(_server, _session, _envelope, mechanism, data):
            box.logins.append((mechanism, data.login.decode(), data.password.decode()))
            return AuthResult(success=box.logins[-1][1:] == login, handled=False)  # aiosmtpd says 235 or 535

        more = dict(authenticator=judge, auth_required=True, auth_require_tls=how is not None) if login else {}

        class Server(Controller):
            def factory(self):
                if how == "wrapped" and login:
                    more["auth_require_tls"] = False  # the whole connection is within TLS, which aiosmtpd does not see
                return SMTP(self.handler, enable_SMTPUTF8=True, tls_context=context if how == "starttls" else None,
                            require_starttls=how == "starttls", **more)

        self.controller = Server(self, hostname="127.0.0.1", port=port, ssl_context=context if how == "wrapped" else None,
                                 ready_timeout=60)
        self.controller.start()

    def stop(self):
        self.controller.stop()

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if self.refuse_to and address == self.refuse_to:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):
        if self.refuse:
            self.refuse -= 1
            return "451 later"
        self.got.append(Mail(envelope))
        return "250 OK"


class Mail:
    def __init__(self, envelope):
        self.sender, self.to, self.raw = envelope.mail_from, envelope.rcpt_tos, envelope.content
        assert b"\n" not in self.raw.replace(b"\r\n", b"") and max(map(len, self.raw.split(b"\r\n"))) <= 78, self.raw
        assert self.raw.isascii()
        self.message = email.message_from_bytes(self.raw, policy=email.policy.default)
        assert not self.message.defects, self.message.defects
        self.text = self.message.get_content().replace("\r\n", "\n")

    def __getitem__(self, name):
        values = self.message.get_all(name)
        assert len(values) == 1, (name, self.raw)
        return str(values[0])
