// Package web holds the console's templates and static files. They need no
// build: what is here is what the browser gets.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:templates static
var files embed.FS

// Templates are the html/template files, by name.
func Templates() fs.FS { return sub("templates") }

// Static is what is served under /static/.
func Static() fs.FS { return sub("static") }

func sub(dir string) fs.FS {
	f, err := fs.Sub(files, dir)
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return f
}
