package main

import "time"

// The question of skynet.cpp, put to Go, in the way in which it was first asked.

func skynet(sum chan<- int64, first, leaves int64) {
	if leaves == 1 {
		sum <- first
		return
	}
	sums := make(chan int64)
	share := leaves / skynetChildren
	for i := int64(0); i < skynetChildren; i++ {
		go skynet(sums, first+i*share, share)
	}
	own := int64(0)
	for i := 0; i < skynetChildren; i++ {
		own += <-sums
	}
	sum <- own
}

func skynetMs(how manner) float64 {
	const smallLeaves, nsMinOfWhole = 1000, 10_000_000
	leaves := int64(skynetLeaves)
	if how.nsMin < nsMinOfWhole {
		leaves = smallLeaves
	}
	ms := 0.0
	for i := 0; i < 2; i++ {
		begin := time.Now()
		sum := make(chan int64)
		go skynet(sum, 0, leaves)
		check(<-sum == sumBelow(leaves))
		ms = float64(time.Since(begin).Nanoseconds()) / 1e6
	}
	return ms
}
