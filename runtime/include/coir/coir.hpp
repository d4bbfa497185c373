/// All of coir's runtime. The network library is <coir/net.hpp>.
#pragma once

#include <coir/barrier.hpp>
#include <coir/channel.hpp>
#include <coir/condition_variable.hpp>
#include <coir/context.hpp>
#include <coir/dump.hpp>
#include <coir/event.hpp>
#include <coir/exceptions.hpp>
#include <coir/fiber.hpp>
#include <coir/future.hpp>
#include <coir/latch.hpp>
#include <coir/mutex.hpp>
#include <coir/no_kill.hpp>
#include <coir/offload.hpp>
#include <coir/once.hpp>
#include <coir/pool.hpp>
#include <coir/queue.hpp>
#include <coir/recursive_mutex.hpp>
#include <coir/runtime.hpp>
#include <coir/select.hpp>
#include <coir/semaphore.hpp>
#include <coir/shared_mutex.hpp>
#include <coir/timeout.hpp>
#include <coir/wait.hpp>
#include <coir/wait_group.hpp>
