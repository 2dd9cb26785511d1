"""Which export Triton serves, and how another one takes its place without a refused request.

Triton loads the steps of the new export as further versions beside those that serve, then the ensemble, which names the
versions that it takes: from one request to the next the new one answers, and what is under way ends with the old.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from runtime.digests import check_digests
from runtime.errors import ReloadFailed
from runtime.launch_folder import find_repository
from runtime.layout import hold
from runtime.readiness import ask
from runtime.served_folder import ENSEMBLE, ServedFolder
from runtime.settings import Settings
from runtime.steps import Steps
from runtime.triton_server import UNLOCK

# After the ensemble has moved, for the requests that the old one took, before its steps are unloaded.
_LEAVE_SECONDS = 1.0


class Serving:
    """The export that one Triton serves. Raises what `find_repository` does."""

    def __init__(self, settings: Settings, address: str, folder: Path) -> None:
        """`address`: where Triton is reached, numeric. `folder`: made anew at each start."""
        self._settings = settings
        self._address = address
        self._served = ServedFolder(folder)
        # Found once: a Triton that is started again must not come up with a model exported meanwhile.
        self.repository = find_repository(settings)
        self._held = hold(self.repository)  # from removal by later exports
        self.key = ""  # to Triton's repository API
        self.can_reload = False  # Triton is up, and not about something else
        self._reloading = False
        self._steps = Steps()

    @property
    def folder(self) -> Path:
        """What Triton reads."""
        return self._served.folder

    def prepare(self) -> None:
        """To be called before each start of Triton.

        Raises `RepositoryChanged` for files that are not as they were exported.
        """
        self.can_reload = False
        check_digests(self.repository)
        self._served.make(self.repository)
        self.key = secrets.token_urlsafe()

    def lost_step(self, triton: int) -> str:
        """As `Steps.ended`; steps that end while another export takes their place are not lost."""
        return "" if self._reloading else self._steps.ended(triton)

    async def reload(self, tell: Callable[[str], None]) -> str:
        """Serves the export that MODEL_REPOSITORY leads to now; a sentence, told too, that says what was done.

        Raises a `RuntimeStopped` where that cannot be, and what served before goes on.
        """
        if self._reloading or not self.can_reload:
            raise ReloadFailed("Another reload is under way." if self._reloading else "Triton is not up yet.")
        old, new = self.repository, find_repository(self._settings)
        if new == old:
            return f"{old.name} is served already."
        check_digests(new)
        self._reloading = True
        try:
            await self._bring_in(old, new)
            self.repository = new
            os.close(self._held)
            self._held = hold(new)
            tell(f"Triton serves {new.name} in the place of {old.name}.")
            await asyncio.sleep(_LEAVE_SECONDS)
            self._served.remove(old)
            await self._load(self._served.steps())
        except ReloadFailed as error:
            tell(f"The reload did not succeed: {error}")
            raise
        finally:
            self._reloading = False
            self._steps.forget()
        return f"{new.name} is served in the place of {old.name}."

    async def _bring_in(self, old: Path, new: Path) -> None:
        self._served.add(new)
        try:
            await self._load(self._served.steps())
            self._served.move(new)
            await self._load([ENSEMBLE])
        except (ReloadFailed, OSError) as error:
            with contextlib.suppress(ReloadFailed, OSError):  # a Triton that ended starts with the old one alone
                self._served.add(old)
                self._served.move(old)
                self._served.remove(new)
                await self._load([*self._served.steps(), ENSEMBLE])
            if isinstance(error, OSError):
                raise ReloadFailed(f"{self.folder} cannot be written to: {error.strerror}.") from error
            raise

    async def _load(self, models: Sequence[str]) -> None:
        """Has Triton read these models' folders again. Raises `ReloadFailed`."""
        for model in models:
            answer = await ask(
                self._address,
                self._settings.triton_http_port,
                f"/v2/repository/models/{model}/load",
                headers={UNLOCK: self.key},
                body=b"",
                seconds=self._settings.start_timeout_seconds,
            )
            if answer is None:
                raise ReloadFailed(f"Triton did not answer when it was to load {model!r}.")
            if answer.status != 200:
                reason = str(answer.document.get("error", answer.status)).strip().splitlines()[0]
                raise ReloadFailed(f"Triton could not load {model!r}: {reason}")
