/// Files, processes and signals for fibers. Apart from <coir/coir.hpp>, since most programs of
/// fibers do without them and compile faster so.
#pragma once

#include <coir/directory_walk.hpp>
#include <coir/file.hpp>
#include <coir/poller.hpp>
#include <coir/process.hpp>
#include <coir/process_options.hpp>
#include <coir/signal_set.hpp>
