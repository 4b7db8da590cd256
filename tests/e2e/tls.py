# SPDX-License-Identifier: ISC
"""What the TLS and proxy tests share: certificates of every kind, and raw connections within TLS."""
import datetime
import ipaddress
import socket
import ssl
import subprocess
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec as ec_keys, rsa as rsa_keys
from cryptography.x509.oid import NameOID
from conftest import ROOT, free_port
from hostile import Raw


def run(*command, status=0, **how):
    made = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, **how)
    assert made.returncode == status, f"{command}: {made.returncode}\n{made.stdout}{made.stderr}"
    return made.stdout + made.stderr


def dev_certificate(*arguments, status=0):
    return run(ROOT / "scripts" / "dev-certificate", *arguments, status=status)


class Pair:
    """Paths of a certificate and its key."""

    def __init__(self, certificate, key):
        self.certificate, self.key = Path(certificate), Path(key)

    @property
    def conf(self):
        return f'tls = {{ certificate = "{self.certificate}"; key = "{self.key}"; }};'

    @property
    def der(self):
        end = "-----END CERTIFICATE-----"
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text().split(end)[0] + end)  # the first: its chain may follow

    def take(self, other):
        """Becomes a copy of another pair, as a renewal would: each file by rename."""
        for mine, its in ((self.certificate, other.certificate), (self.key, other.key)):
            new = mine.with_suffix(".new")
            new.write_bytes(its.read_bytes())
            new.chmod(0o600)
            new.rename(mine)


def self_signed(folder, name, begins=-1, ends=30, names=("localhost", "127.0.0.1", "::1"), rsa=False, ca=None):
    """A pair of any kind, valid between two days from now; `ca` is the pair that signs, else it signs itself."""
    Path(folder).mkdir(exist_ok=True)
    made = Pair(Path(folder) / f"{name}.pem", Path(folder) / f"{name}.key")
    key = rsa_keys.generate_private_key(65537, 2048) if rsa else ec_keys.generate_private_key(ec_keys.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.utcnow()
    alternatives = []
    for one in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(one)))
        except ValueError:
            alternatives.append(x509.DNSName(one))
    issuer, signer = subject, key
    if ca:
        issuer = x509.load_pem_x509_certificate(ca.certificate.read_bytes()).subject
        signer = serialization.load_pem_private_key(ca.key.read_bytes(), None)
    certificate = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), now + datetime.timedelta(days=begins),
                                          now + datetime.timedelta(days=ends))
    certificate = certificate.add_extension(x509.SubjectAlternativeName(alternatives), False).sign(signer, hashes.SHA256())
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.touch(0o600)
    made.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return made


def context(ca=None, lowest=ssl.TLSVersion.TLSv1_2, highest=ssl.TLSVersion.TLSv1_3, ciphers=None, alpn=None):
    """A client's; without `ca` it accepts any certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = ca is not None
    made.verify_mode = ssl.CERT_REQUIRED if ca else ssl.CERT_NONE
    if ca:
        made.load_verify_locations(ca)
    if ciphers:
        made.set_ciphers(ciphers)
    if alpn:
        made.set_alpn_protocols(alpn)
    made.minimum_version, made.maximum_version = lowest, highest
    return made


ANY = context()


class Tls(Raw):
    """As Raw, within TLS."""

    def __init__(self, port, ctx=ANY, name="localhost", session=None, **how):
        super().__init__(port, **how)
        try:
            self.s = ctx.wrap_socket(self.s, server_hostname=name, session=session)
        except BaseException:
            self.s.close()
            raise

    @property
    def shown(self):
        """The certificate that the server showed."""
        return self.s.getpeercert(binary_form=True)


class Listener(threading.Thread):
    """A TLS server that is not ours: counts who comes, and keeps the first line of what those say whose handshake succeeds."""

    def __init__(self, pair, highest=ssl.TLSVersion.TLSv1_3):
        super().__init__(daemon=True)
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ctx.set_ciphers("ALL:@SECLEVEL=0")
        self.ctx.minimum_version, self.ctx.maximum_version = ssl.TLSVersion.TLSv1, highest
        self.ctx.load_cert_chain(pair.certificate, pair.key)
        self.port, self.came, self.said, self.stopping = free_port(), 0, [], False
        self.s = socket.create_server(("127.0.0.1", self.port))
        self.start()

    def run(self):
        while True:
            link = self.s.accept()[0]
            if self.stopping:
                return link.close()
            self.came += 1
            link.settimeout(5)
            try:
                with self.ctx.wrap_socket(link, server_side=True) as inside:
                    self.said.append(inside.recv(65536).split(b"\r\n")[0])
            except OSError:
                link.close()

    def stop(self):
        self.stopping = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self.join(10)
        self.s.close()
