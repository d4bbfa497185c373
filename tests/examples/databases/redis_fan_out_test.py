"""The redis_fan_out example, against a Redis of its own."""

from fan_out import FanOutTest, main
from servers import Redis


class RedisFanOutTest(FanOutTest):
    name = "redis_fan_out"
    make_server = Redis


del FanOutTest  # has no server


if __name__ == "__main__":
    main()
