"""Room for the sockets of thousands of calls: the limit of open files, raised in time or reported."""

import resource

from agent.errors import ConfigError

BASE_FILES = 512
"""What a process has open besides its calls, with room to spare: libraries, logs, connections to services."""
FILES_PER_CALL = 3
"""A media call's in the process that has most: the server's line, its recogniser's stream and a spare one
while that is replaced."""
FILES_PER_RELAY_CALL = 1


def make_room(calls: int, *, relay: bool) -> None:
    """Let this process and its later children open the files of so many calls.

    Raises the soft limit, and the hard one where that is allowed. Raises `ConfigError` if that is not enough.
    """
    per_call = FILES_PER_RELAY_CALL if relay else FILES_PER_CALL
    needed = calls * per_call + BASE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    enough = hard == resource.RLIM_INFINITY or hard >= needed
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard if enough else needed))
    except (ValueError, OSError):
        most = max((hard - BASE_FILES) // per_call, 0)
        raise ConfigError(
            f"{calls} calls need {needed} open files in a process, and at most {hard} are allowed: raise the "
            f"limit (`ulimit -Hn {needed}`; LimitNOFILE= of a unit; --ulimit nofile= of a container), or use "
            f"--max-calls {most}"
        ) from None
