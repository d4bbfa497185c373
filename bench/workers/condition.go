package main

import "sync"

// The question of condition.cpp, put to Go.

func crossConditionRoundTripNs(how manner) float64 {
	return nsPerUnit(how, 100, func(trips int64) {
		var mutex sync.Mutex
		turned := sync.NewCond(&mutex)
		var sides sync.WaitGroup
		turn, passed := 0, int64(0)
		side := func(own int) {
			mutex.Lock()
			for i := int64(0); i < trips; i++ {
				for turn != own {
					turned.Wait()
				}
				turn = 1 - own
				passed++
				turned.Signal()
			}
			mutex.Unlock()
			sides.Done()
		}
		sides.Add(2)
		how.start(func() { side(0) })
		how.start(func() { side(1) })
		sides.Wait()
		check(passed == 2*trips && turn == 0)
	})
}
