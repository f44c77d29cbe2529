// Package auth says who a caller is and what he may do.
//
// An Auth turns passwords into tokens and tokens into a Session; Allow and
// AllowActAs decide from a session, an action and the kind and access level of
// a table. The tables in allow.go are the only place where rights are written
// down; every door asks them.
//
// Auth reads users through Users and changes them through Accounts, so that it
// knows neither the catalog nor the commands. Every login costs one bcrypt
// comparison, whether the user exists or not; the number of comparisons at one
// time is bounded.
//
// Goroutines: none. Locks: Limiter.mu, tokenCache.mu; neither is held while
// anything else is called.
package auth
