package main

// The questions of channel.cpp, put to Go.

func crossChannelRoundTripNs(how manner) float64 {
	return nsPerUnit(how, 100, func(trips int64) {
		there, back, end := make(chan int64), make(chan int64), make(chan int64)
		how.start(func() {
			for i := int64(0); i < trips; i++ {
				back <- <-there + 1
			}
		})
		how.start(func() {
			number := int64(0)
			for i := int64(0); i < trips; i++ {
				there <- number
				number = <-back
			}
			end <- number
		})
		check(<-end == trips)
	})
}

func crossBufferedItemNs(how manner) float64 {
	return nsPerUnit(how, 1000, func(items int64) {
		channel, end := make(chan int64, channelRoom), make(chan int64)
		how.start(func() {
			for i := int64(0); i < items; i++ {
				channel <- i
			}
		})
		how.start(func() {
			sum := int64(0)
			for i := int64(0); i < items; i++ {
				sum += <-channel
			}
			end <- sum
		})
		check(<-end == sumBelow(items))
	})
}
