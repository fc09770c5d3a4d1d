"""Certificates for tests, made by the openssl program: an authority, and what it issues,
also such as have ended."""
import pathlib
import ssl
import subprocess

CONFIGURATION = """\
[ca]
default_ca = here
[here]
database = {at}/index
new_certs_dir = {at}
serial = {at}/serial
certificate = {at}/ca.pem
private_key = {at}/ca.key
default_md = sha256
default_days = 30
unique_subject = no
policy = any
copy_extensions = copy
[any]
commonName = supplied
[leaf]
subjectAltName = {names}
extendedKeyUsage = serverAuth, clientAuth
"""


def openssl(*arguments, **more):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, **more)


def new_key(path):
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)


class Certificate:
    def __init__(self, directory, name):
        self.pem, self.key = directory / f"{name}.pem", directory / f"{name}.key"

    def serial(self):
        return openssl("x509", "-in", self.pem, "-noout", "-serial").stdout.decode().strip().split("=")[1]


class Authority:
    def __init__(self, directory, name="Test authority"):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.pem, self.key = self.directory / "ca.pem", self.directory / "ca.key"
        new_key(self.key)
        openssl("req", "-x509", "-new", "-key", self.key, "-out", self.pem, "-days", 60, "-subj", f"/CN={name}")
        (self.directory / "index").touch()
        (self.directory / "serial").write_text("1000\n")

    def issue(self, name, *names, start=None, end=None):
        """A certificate with these alternative names ("DNS:a", "IP:127.0.0.1"); times as 20260102030405Z."""
        made = Certificate(self.directory, name)
        configuration, request = self.directory / f"{name}.cnf", self.directory / f"{name}.csr"
        configuration.write_text(CONFIGURATION.format(at=self.directory, names=", ".join(names)))
        new_key(made.key)
        openssl("req", "-new", "-key", made.key, "-out", request, "-subj", f"/CN={name}")
        times = [word for flag, when in (("-startdate", start), ("-enddate", end)) if when for word in (flag, when)]
        openssl("ca", "-batch", "-notext", "-config", configuration, "-extensions", "leaf", "-in", request, "-out", made.pem, *times)
        return made

    def client(self, certificate=None):
        """What a client that trusts this authority works with."""
        context = ssl.create_default_context(cafile=self.pem)
        if certificate is not None:
            context.load_cert_chain(certificate.pem, certificate.key)
        return context
