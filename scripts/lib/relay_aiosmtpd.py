"""An SMTP server on aiosmtpd, for scripts/lib/relay: FOLDER PORT USER PASSWORD."""

import asyncio
import itertools
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    """Refuses some, writes the others to files."""

    def __init__(self, folder):
        self.folder = folder
        self.number = itertools.count()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if not session.authenticated:
            return "550 5.7.1 authentication required"
        if address.startswith("perm"):
            return "550 5.1.1 no such user"
        if address.startswith("temp"):
            return "450 4.2.1 try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        (self.folder / f"mail/new/{next(self.number)}").write_bytes(envelope.original_content)
        return "250 2.0.0 taken"


async def serve(folder, port, user, password):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    handler = Handler(folder)

    def authenticate(server, session, envelope, mechanism, given):
        right = (given.login, given.password) == (user.encode(), password.encode())
        return AuthResult(success=right, handled=False)

    def session():
        return SMTP(
            handler,
            hostname="relay.test",
            enable_SMTPUTF8=True,
            tls_context=context,
            authenticator=authenticate,
            loop=asyncio.get_running_loop(),
        )

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


asyncio.run(serve(pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]))
