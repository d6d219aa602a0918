// Command greeter is the service that the workflows ship.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if fault != "" && fault == os.Getenv("STAGE") {
		fmt.Fprintln(os.Stderr, "fatal: version", version, "does not work in", fault)
		os.Exit(3)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: ":" + os.Getenv("PORT"), Handler: http.HandlerFunc(serve), ReadHeaderTimeout: time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.WithoutCancel(ctx))
	}()
	fmt.Println(server.ListenAndServe())
}

func serve(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, greeting()) }

func greeting() string { return "hello from version " + version }
