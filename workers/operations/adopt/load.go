package adopt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// stack is a Compose project as read, and what is known of it so far.
type stack struct {
	path, dir string
	// shown is the directory as the operator named it.
	shown   string
	project *types.Project
	tree    ast.Node
	anchors map[string]ast.Node
	// images are what services are made from: the image, or the last FROM of a build.
	images map[string]string
	// known are the services whose image says what they are.
	known  map[string]kind
	proxy  Proxy
	routes *routes
	notes  []string
}

// load reads the file as `docker compose -f` does, with the .env beside it and
// nothing of the shell's environment.
func load(ctx context.Context, file string) (*stack, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	raw, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s does not exist: name the compose file of your stack", file)
	case err != nil:
		return nil, fmt.Errorf("%s cannot be read: %w", file, err)
	}
	dir := filepath.Dir(path)
	options := []cli.ProjectOptionsFn{cli.WithWorkingDirectory(dir)}
	if _, err := os.Stat(filepath.Join(dir, ".env")); err == nil {
		options = append(options, cli.WithEnvFiles(filepath.Join(dir, ".env")), cli.WithDotEnv)
	}
	options = append(options, cli.WithDefaultProfiles(), cli.WithDiscardEnvFile)
	s := &stack{path: path, dir: dir, images: map[string]string{}, known: map[string]kind{}}
	reader, err := cli.NewProjectOptions([]string{path}, options...)
	if err == nil {
		s.project, err = reader.LoadProject(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: docker compose would refuse it: %s", file, s.masked(err))
	}
	if len(s.project.Services) == 0 {
		return nil, fmt.Errorf("%s has no service that starts by itself: services of a profile are not looked at", file)
	}
	if tree, err := parser.ParseBytes(raw, 0); err == nil && len(tree.Docs) > 0 { // else lines are not known, nothing more
		s.tree = tree.Docs[0].Body
		s.anchors = anchors(s.tree)
	}
	for name, svc := range s.project.Services {
		s.images[name] = s.image(svc)
	}
	return s, nil
}

// masked is an error's text without the project's directory and without a value of
// .env, because the reader quotes what it read.
func (s *stack) masked(err error) string {
	text := strings.ReplaceAll(err.Error(), s.dir+string(filepath.Separator), "")
	values, readErr := dotenv.Read(filepath.Join(s.dir, ".env"))
	if readErr != nil {
		return text
	}
	var secrets []string
	for _, v := range values {
		if len(v) >= 4 { // a shorter one is no secret, and masking it would eat the message
			secrets = append(secrets, v)
		}
	}
	sort.Slice(secrets, func(i, j int) bool { return len(secrets[i]) > len(secrets[j]) })
	for _, v := range secrets {
		text = strings.ReplaceAll(text, v, "•••")
	}
	return text
}

var from = regexp.MustCompile(`(?mi)^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?`)

// image is what a service is made from.
func (s *stack) image(svc types.ServiceConfig) string {
	if svc.Build == nil {
		return svc.Image
	}
	text := svc.Build.DockerfileInline
	if text == "" {
		path := svc.Build.Dockerfile
		if path == "" {
			path = "Dockerfile"
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(svc.Build.Context, path)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return svc.Image // the guess goes on without
		}
		text = string(raw)
	}
	stages, last := map[string]string{}, ""
	for _, m := range from.FindAllStringSubmatch(text, -1) {
		last = m[1]
		if base, ok := stages[strings.ToLower(last)]; ok {
			last = base
		}
		stages[strings.ToLower(m[2])] = last
	}
	return last
}

// hosts answers which service a host name is on the stack's networks.
func (s *stack) hosts(host string) string {
	for _, name := range s.project.ServiceNames() {
		svc := s.project.Services[name]
		if host == name || host == svc.ContainerName && host != "" || host == svc.Hostname && host != "" || host == fileName(name) {
			return name
		}
		for _, n := range svc.Networks {
			if n == nil {
				continue
			}
			for _, alias := range n.Aliases {
				if alias == host {
					return name
				}
			}
		}
	}
	return ""
}

// line is where a path stands in the file, or the nearest parent that stands there;
// 0 where nothing does. Aliases and merges are followed.
func (s *stack) line(path ...string) int {
	line, n := 0, s.tree
	for _, name := range path {
		key, value := s.child(n, name)
		if key == 0 {
			break
		}
		line, n = key, value
	}
	return line
}

// stands says whether a service's own text has a field, or one it merges in.
func (s *stack) stands(path ...string) bool {
	n := s.tree
	for _, name := range path {
		key, value := s.child(n, name)
		if key == 0 {
			return false
		}
		n = value
	}
	return true
}

func (s *stack) child(n ast.Node, name string) (line int, value ast.Node) {
	switch x := s.resolve(n).(type) {
	case *ast.MappingNode:
		return s.in(x.Values, name)
	case *ast.MappingValueNode:
		return s.in([]*ast.MappingValueNode{x}, name)
	case *ast.SequenceNode:
		for i, v := range x.Values {
			if strconv.Itoa(i) == name {
				if item, ok := v.(*ast.MappingNode); ok && len(item.Values) > 0 {
					return lineOf(item.Values[0].Key), v // a mapping's own token is its first colon
				}
				return lineOf(v), v
			}
		}
	}
	return 0, nil
}

func (s *stack) in(pairs []*ast.MappingValueNode, name string) (line int, value ast.Node) {
	for _, p := range pairs {
		if p.Key.GetToken().Value == name {
			return lineOf(p.Key), p.Value
		}
	}
	for _, p := range pairs {
		if p.Key.IsMergeKey() {
			if line, value := s.child(p.Value, name); line > 0 {
				return line, value
			}
		}
	}
	return 0, nil
}

func (s *stack) resolve(n ast.Node) ast.Node {
	for range 16 { // an alias of an alias ends somewhere
		switch x := n.(type) {
		case *ast.AnchorNode:
			n = x.Value
		case *ast.AliasNode:
			n = s.anchors[x.Value.GetToken().Value]
		case *ast.TagNode:
			n = x.Value
		default:
			return n
		}
	}
	return nil
}

func lineOf(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 0
	}
	return n.GetToken().Position.Line
}

func anchors(root ast.Node) map[string]ast.Node {
	v := anchorVisitor{}
	ast.Walk(v, root)
	return v
}

type anchorVisitor map[string]ast.Node

// Visit implements ast.Visitor.
func (v anchorVisitor) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok {
		v[a.Name.GetToken().Value] = a.Value
	}
	return v
}
