"""What a worker does for orders when the bell rings. Arguments are keys alone."""

from orders import outbound


def send(key: str) -> None:
    outbound.send(key)
