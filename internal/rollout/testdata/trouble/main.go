// Command trouble is what fails in tests, in the way that its argument names.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	fmt.Println("starting")
	if planted := os.Getenv("PLANTED"); planted != "" { // a service that tells what it should not
		fmt.Fprintln(os.Stderr, "connecting to postgres://orders:"+planted+"@db/orders with token="+planted)
	}
	switch os.Args[1] {
	case "panic":
		var orders map[string]int
		orders["first"] = 1
	case "exit":
		fmt.Fprintln(os.Stderr, "bye")
	case "fail":
		fmt.Fprintln(os.Stderr, "migration 0042 failed: column total exists already")
		os.Exit(4)
	case "env":
		fmt.Fprintln(os.Stderr, "required environment variable DATABASE_URL is not set")
		os.Exit(1)
	case "memory":
		var all [][]byte
		for {
			block := make([]byte, 4<<20)
			for i := range block {
				block[i] = 1
			}
			all = append(all, block)
			fmt.Println("holding", len(all)*4, "MiB")
		}
	case "write":
		if err := os.WriteFile("/cache", nil, 0o600); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "leak":
		fmt.Println("connecting to postgres://orders:hunter2secret@db/orders")
		fmt.Println("Authorization: Bearer abcdef0123456789")
		fmt.Println(`{"password":"planted-in-json"}`)
		fmt.Println("license " + os.Getenv("LICENSE"))
		os.Exit(5)
	case "once": // fails the first time only
		if _, err := os.Stat("/state/been"); err != nil {
			_ = os.WriteFile("/state/been", nil, 0o600)
			fmt.Fprintln(os.Stderr, "the first time fails")
			os.Exit(1)
		}
		serve()
	case "sleep":
		time.Sleep(time.Hour)
	case "serve":
		serve()
	}
}

func serve() {
	fmt.Println(http.ListenAndServe(":3000", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
}
