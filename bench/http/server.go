package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

// Go's own HTTP server with the handler of the benchmark: a short text. Serves until it is ended.

func answerHello(out http.ResponseWriter, request *http.Request) {
	out.Header().Set("Content-Type", "text/plain")
	io.WriteString(out, "Hello, World!\n")
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("listening on %v\n", listener.Addr())
	fmt.Fprintln(os.Stderr, http.Serve(listener, http.HandlerFunc(answerHello)))
	os.Exit(1)
}
