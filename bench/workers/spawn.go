package main

import (
	"runtime"
	"sync"
)

// The questions of spawn.cpp, put to Go.

func spawnFromOutsideNs(how manner) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	results := make([]int64, spawnBatch)
	return nsPerUnit(how, spawnBatch, func(tasks int64) {
		for begun := int64(0); begun < tasks; begun += spawnBatch {
			for i := range results {
				results[i] = 0
			}
			var left sync.WaitGroup
			left.Add(spawnBatch)
			for i := range results {
				go func(i int) {
					results[i] = int64(i)
					left.Done()
				}(i)
			}
			left.Wait()
			sum := int64(0)
			for _, result := range results {
				sum += result
			}
			check(sum == sumBelow(spawnBatch))
		}
	})
}

func parallelSpawnNs(how manner) float64 {
	results := make([]uint64, spawnBatch)
	expected := make([]uint64, spawnBatch)
	for i := range expected {
		expected[i] = walk(uint64(i), how.walkSteps)
	}
	return nsPerUnit(how, spawnBatch, func(tasks int64) {
		for begun := int64(0); begun < tasks; begun += spawnBatch {
			var left sync.WaitGroup
			left.Add(spawnBatch)
			for i := range results {
				go func(i int) {
					results[i] = walk(uint64(i), how.walkSteps)
					left.Done()
				}(i)
			}
			left.Wait()
			for i := range results {
				check(results[i] == expected[i])
				results[i] = 0
			}
		}
	})
}
