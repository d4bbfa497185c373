// Runs one row of the workers benchmark in Go; main.cpp is its twin.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

// How a row is to run.
type manner struct {
	workers   int
	nsMin     int64
	walkSteps uint64
	isLocked  bool
}

const (
	usage          = "usage: workers_go ROW WORKERS MILLISECONDS STEPS [locked]"
	lifeMax        = 300 * time.Second
	channelRoom    = 128
	mutexFibers    = 4
	spawnBatch     = 10_000
	skynetLeaves   = 1_000_000
	skynetChildren = 10
)

var rows = map[string]func(manner) float64{
	"cross_channel_round_trip_ns":    crossChannelRoundTripNs,
	"unplaced_channel_round_trip_ns": crossChannelRoundTripNs,
	"cross_buffered_item_ns":         crossBufferedItemNs,
	"cross_condition_round_trip_ns":  crossConditionRoundTripNs,
	"contended_mutex_ns":             contendedMutexNs,
	"spawn_from_outside_ns":          spawnFromOutsideNs,
	"parallel_spawn_ns":              parallelSpawnNs,
	"skynet_ms":                      skynetMs,
	"server":                         serve,
}

// Starts one side of a row. Left alone, Go soon runs both sides in turn on one thread and crosses
// nothing; locked, each side has a thread of its own, as the fibers of coir and Boost.Fiber have.
func (how manner) start(side func()) {
	go func() {
		if how.isLocked {
			runtime.LockOSThread()
		}
		side()
	}()
}

// Makes the program fail unless the work of a row is done.
func check(isDone bool) {
	if !isDone {
		fail("the work was not done")
	}
}

func fail(why any) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}

// The sum of 0, 1... count - 1.
func sumBelow(count int64) int64 {
	return count * (count - 1) / 2
}

// The same walk as in examples/common/number_walk.hpp.
func walk(start, steps uint64) uint64 {
	for i := uint64(0); i < steps; i++ {
		start = start*6364136223846793005 + 1442695040888963407
	}
	return start
}

// What one unit takes; as the function of this name in program.hpp.
func nsPerUnit(how manner, first int64, units func(count int64)) float64 {
	const growthMax = 10
	for count := first; ; {
		begin := time.Now()
		units(count)
		ns := time.Since(begin).Nanoseconds()
		if ns >= how.nsMin {
			return float64(ns) / float64(count)
		}
		if wanted := 1 + how.nsMin*5/4/(ns+1); wanted < growthMax {
			count *= wanted + 1
		} else {
			count *= growthMax
		}
	}
}

func number(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		fail(usage)
	}
	return value
}

func main() {
	if len(os.Args) != 5 && len(os.Args) != 6 {
		fail(usage)
	}
	row, isKnown := rows[os.Args[1]]
	if !isKnown {
		fail(usage)
	}
	time.AfterFunc(lifeMax, func() { fail("took too long") })
	how := manner{int(number(os.Args[2])), number(os.Args[3]) * 1_000_000,
		uint64(number(os.Args[4])), len(os.Args) == 6}
	runtime.GOMAXPROCS(how.workers)
	fmt.Printf("%.3f\n", row(how))
}
