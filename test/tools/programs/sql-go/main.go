// Holds one pool, as a service does, and connects before and after the first ID token's end.
package main

import (
	"database/sql"
	"fmt"
	"os"
	"time"

	"github.com/microsoft/go-mssqldb/azuread"
)

func main() {
	pause, err := time.ParseDuration(os.Getenv("PAUSE") + "s")
	if err != nil {
		panic(err)
	}
	pool, err := sql.Open(azuread.DriverName, "sqlserver://"+os.Args[1]+"?database=storefront&encrypt=true&fedauth=ActiveDirectoryManagedIdentity")
	if err != nil {
		panic(err)
	}
	// No connection is kept, so that each use signs in.
	pool.SetMaxIdleConns(-1)
	for _, what := range []string{"first", "again"} {
		if _, err := pool.Exec("UPDATE greetings SET text = 'Hello'"); err != nil {
			fmt.Printf("%s: %v\n", what, err)
		} else {
			fmt.Printf("%s: done\n", what)
		}
		if what == "first" {
			time.Sleep(pause)
		}
	}
}
