"""The mariadb_fan_out example, against a MariaDB of its own."""

from fan_out import FanOutTest, main
from servers import Mariadb


class MariadbFanOutTest(FanOutTest):
    name = "mariadb_fan_out"
    make_server = Mariadb


del FanOutTest  # has no server


if __name__ == "__main__":
    main()
