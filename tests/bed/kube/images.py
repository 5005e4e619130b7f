"""How images behave: what a test tells the kubelets that will happen when a container of an image runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What becomes of a container. Times are seconds of the cluster's clock after its start.

    `exit_after` None means that it runs until it is stopped; a restart begins again. `log` is written at each start,
    ``{pod}``, ``{container}`` and ``{restarts}`` are filled in, and `last_words` before an exit.
    """

    pulls: bool = True
    ready: bool = True
    ready_after: float = 0.0
    exit_after: float | None = None
    exit_code: int = 0
    reason: str = ""
    stops_after: float = 0.0
    log: str = "hello from {pod}/{container}"
    last_words: str = ""

    @classmethod
    def healthy(cls, ready_after: float = 0.0, stops_after: float = 0.0) -> "Behaviour":
        """Become ready and stay so; `stops_after` is how long it takes to end when asked to."""
        return cls(ready_after=ready_after, stops_after=stops_after)

    @classmethod
    def unpullable(cls) -> "Behaviour":
        """Never get an image: ErrImagePull, then ImagePullBackOff."""
        return cls(pulls=False)

    @classmethod
    def crashes(
        cls, after: float = 0.0, exit_code: int = 1, last_words: str = "panic: it does not work"
    ) -> "Behaviour":
        """Exit again and again: restarts, then CrashLoopBackOff. Unready until it exits."""
        return cls(ready=False, exit_after=after, exit_code=exit_code, reason="Error", last_words=last_words)

    @classmethod
    def out_of_memory(cls, after: float = 0.0) -> "Behaviour":
        """Be killed for its memory again and again: lastState terminated, reason OOMKilled, exit code 137."""
        return cls(exit_after=after, exit_code=137, reason="OOMKilled", ready=after > 0)

    @classmethod
    def never_ready(cls) -> "Behaviour":
        """Run, but fail the readiness probe."""
        return cls(ready=False)

    @classmethod
    def completes(cls, after: float = 0.0, exit_code: int = 0) -> "Behaviour":
        """Run for a while and exit, as the container of a job does."""
        return cls(exit_after=after, exit_code=exit_code, reason="Completed" if exit_code == 0 else "Error")
