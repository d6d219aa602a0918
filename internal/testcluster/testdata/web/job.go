package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// job does what the arguments say and gives the exit code.
func job(args []string) int {
	switch {
	case len(args) == 3 && args[0] == "work":
		long, err := time.ParseDuration(args[1])
		code, codeErr := strconv.Atoi(args[2])
		if err != nil || codeErr != nil {
			fmt.Println(err, codeErr)
			return 64
		}
		fmt.Printf("working for %v, IMAGE_VERSION %s\n", long, os.Getenv("VERSION"))
		for begun, n := time.Now(), 1; time.Since(begun) < long; n++ {
			time.Sleep(100 * time.Millisecond)
			fmt.Printf("step %d\n", n)
		}
		fmt.Printf("ends with %d\n", code)
		return code
	case len(args) == 2 && args[0] == "fetch":
		client := http.Client{Timeout: 10 * time.Second}
		response, err := client.Get(args[1])
		if err != nil {
			fmt.Println(err)
			return 4
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		fmt.Printf("%s answers %s: %s\n", args[1], response.Status, body)
		if response.StatusCode != http.StatusOK {
			return 4
		}
		return 0
	}
	fmt.Println("usage: web [work DURATION CODE | fetch URL]")
	return 64
}
