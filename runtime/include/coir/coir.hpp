/// All of coir's runtime. The network library is <coir/net.hpp>.
#pragma once

#include <coir/condition_variable.hpp>
#include <coir/context.hpp>
#include <coir/event.hpp>
#include <coir/exceptions.hpp>
#include <coir/fiber.hpp>
#include <coir/mutex.hpp>
#include <coir/offload.hpp>
#include <coir/pool.hpp>
#include <coir/queue.hpp>
#include <coir/runtime.hpp>
#include <coir/semaphore.hpp>
