package main

const (
	version = "1"
	fault   = "" // where this version crashes: staging, production
)
