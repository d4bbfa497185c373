package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// Go's own HTTP server with the handler of examples/worker_server.cpp: /walk/START/STEPS. Serves
// until its standard input ends.

func answerWalk(out http.ResponseWriter, request *http.Request) {
	parts := strings.Split(request.URL.Path, "/")
	if len(parts) != 4 || parts[1] != "walk" {
		http.NotFound(out, request)
		return
	}
	start, startErr := strconv.ParseUint(parts[2], 10, 64)
	steps, stepsErr := strconv.ParseUint(parts[3], 10, 64)
	if startErr != nil || stepsErr != nil {
		http.Error(out, "numbers are wanted", http.StatusBadRequest)
		return
	}
	fmt.Fprintln(out, walk(start, steps))
}

func serve(manner) float64 {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	fmt.Printf("listening on %v\n", listener.Addr())
	go http.Serve(listener, http.HandlerFunc(answerWalk))
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
	return 0
}
