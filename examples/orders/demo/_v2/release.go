package main

// Version 2 is a good one: nothing but its number is new.
const release = "2"
