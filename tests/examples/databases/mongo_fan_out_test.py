"""The mongo_fan_out example, against a small server of MongoDB's wire protocol."""

from fan_out import FanOutTest, main
from servers import Mongo


class MongoFanOutTest(FanOutTest):
    name = "mongo_fan_out"
    make_server = Mongo


del FanOutTest  # has no server


if __name__ == "__main__":
    main()
