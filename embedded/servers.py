"""The three servers, in the order of their start; each stays away when the environment names another one."""

from collections.abc import Callable, Mapping

from embedded import postgres, seaweed, valkey
from embedded.child import Child
from embedded.house import REPLACED_BY, House


def servers(house: House, given: Mapping[str, str]) -> list[Child]:
    """List the servers that nobody else provides."""
    env = house.env(given)
    makers: dict[str, Callable[[], Child]] = {
        "valkey": lambda: valkey.server(house.data / "valkey", house.ports["valkey"], house.secrets["valkey"]),
        "postgres": lambda: postgres.server(house.data, house.ports["postgres"], house.secrets["postgres"]),
        "seaweedfs": lambda: seaweed.server(
            house.data / "seaweedfs", house.ports, (env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
        ),
    }
    return [make() for name, make in makers.items() if not given.get(REPLACED_BY[name])]
