package main

const release = "4"
