package altermcp

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// testFunction is a test of this repository, found by reading it.
type testFunction struct {
	file string // from here, with slashes
	name string
	doc  string // its comment, on one line
}

// String is how docs/security.md names it: by its package's folder.
func (f testFunction) String() string {
	folder := path.Dir(f.file)
	if folder == "." {
		folder = "altermcp"
	}
	return folder + ": " + f.name
}

// testFunctions finds all tests and fuzz targets, those of other modules too.
func testFunctions(t *testing.T) []testFunction {
	t.Helper()
	var found []testFunction
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
				doc := strings.Join(strings.Fields(f.Doc.Text()), " ")
				found = append(found, testFunction{filepath.ToSlash(file), f.Name.Name, doc})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
