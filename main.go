// Command pixel is the whole product: see README.md.
package main

import (
	"os"

	"github.com/miq/pixel/modules/cli"
)

func main() { os.Exit(cli.Run(os.Args[1:], os.Stdout, os.Stderr)) }
