package main

import (
	"runtime"
	"sync"
)

// The question of mutex.cpp, put to Go.

func contendedMutexNs(how manner) float64 {
	return nsPerUnit(how, 100*mutexFibers, func(locks int64) {
		var mutex sync.Mutex
		var takers sync.WaitGroup
		taken := int64(0)
		takers.Add(mutexFibers)
		for n := 0; n < mutexFibers; n++ {
			go func() {
				for i := int64(0); i < locks/mutexFibers; i++ {
					mutex.Lock()
					taken++
					runtime.Gosched()
					mutex.Unlock()
				}
				takers.Done()
			}()
		}
		takers.Wait()
		check(taken == locks)
	})
}
