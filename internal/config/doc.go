// Package config turns a TOML file, the environment and flags into Options.
//
// Every key stands once, in keys.go, with its default, its bounds and one
// sentence. A flag wins over the environment, the environment over the file.
// What is unknown is one warning each; what is wrong is reported all at once.
//
// This is the only room that reads configuration files, the environment or
// flags. Goroutines: none. Locks: none.
package config
