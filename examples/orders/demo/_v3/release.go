package main

const release = "3"
