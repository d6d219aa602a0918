// Command cache is the stand-in for actions/cache: called restore it brings
// back the folder of the key or of the first beginning of one, called save it
// keeps the folder, and only the newest.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	store := filepath.Join(os.Getenv("XDG_CACHE_HOME"), "kept")
	path, key := os.Getenv("INPUT_PATH"), os.Getenv("INPUT_KEY")
	kept := filepath.Join(store, key)
	if filepath.Base(os.Args[0]) == "restore" {
		for _, prefix := range append([]string{key}, strings.Fields(os.Getenv("INPUT_RESTORE-KEYS"))...) {
			found, _ := filepath.Glob(filepath.Join(store, prefix+"*"))
			if len(found) > 0 {
				fmt.Println("restored from", filepath.Base(found[0]))
				run("cp", "-a", found[0], path)
				return
			}
		}
		fmt.Println("nothing kept yet for", key)
		return
	}
	if _, err := os.Stat(kept); err == nil {
		return
	}
	others, _ := filepath.Glob(filepath.Join(store, "*"))
	run("mkdir", "-p", store)
	run("cp", "-a", path, kept)
	run("rm", append([]string{"-rf"}, others...)...)
	fmt.Println("kept as", key)
}

func run(name string, args ...string) {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		fmt.Printf("%s %v: %v\n%s", name, args, err, out)
		os.Exit(1)
	}
}
