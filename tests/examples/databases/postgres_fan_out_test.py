"""The postgres_fan_out example, against a PostgreSQL of its own."""

from fan_out import FanOutTest, main
from servers import Postgres


class PostgresFanOutTest(FanOutTest):
    name = "postgres_fan_out"
    make_server = Postgres


del FanOutTest  # has no server


if __name__ == "__main__":
    main()
