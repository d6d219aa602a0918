package main

// release is what people call this version. The build's own version (see version in main.go)
// says which source it is; this says which behaviour.
const release = "1"
