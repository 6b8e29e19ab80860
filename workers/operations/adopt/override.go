package adopt

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/leanvibe/hive/workflows/runbook"
)

// override is compose.hive.yaml: what hive must know, and the lines of the operator's
// file that stand in a roll's way, taken back.
func (s *stack) override(p *Proposal) string {
	file := filepath.Base(s.path)
	var b strings.Builder
	fmt.Fprintf(&b, "# What hive must know of %s, guessed by hive init. Correct what was guessed wrong: the reason stands\n", file)
	fmt.Fprintf(&b, "# beside each guess. It is used beside your file, which stays as it is:\n")
	fmt.Fprintf(&b, "#   docker compose -f %s -f %s up -d\n", file, OverrideFile)
	fmt.Fprintf(&b, "# \"!reset\" takes a line of your file back; an empty list would only add nothing to it. It needs Docker\n")
	fmt.Fprintf(&b, "# Compose 2.24.4 or later. x-hive is explained in docs/compose.md.\n")
	b.WriteString("services:\n")
	for i, svc := range p.Services {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "  %s:\n", yamlText(svc.Name))
		fmt.Fprintf(&b, "    # %s, because %s.\n", svc.Role, svc.Why)
		for _, note := range svc.Notes {
			comment(&b, "    ", "Mind: "+note+".")
		}
		for _, bar := range svc.Bars {
			switch {
			case bar.Lifted && bar.override != "":
				comment(&b, "    ", s.at(bar)+bar.What+".")
				fmt.Fprintf(&b, "    %s\n", bar.override)
			case bar.Lifted:
				comment(&b, "    ", s.at(bar)+bar.What+": taken back above.")
			default:
				comment(&b, "    ", "Bars a roll: "+s.at(bar)+bar.What+". Way out: "+bar.Way+".")
			}
		}
		if svc.Role == runbook.RoleProxy && s.moves(p) {
			comment(&b, "    ", "The address files that hive writes, and the log that it reads.")
			fmt.Fprintf(&b, "    volumes:\n      - ./%s:%s:ro\n      - ./%s:/var/log/hive\n", addressDir, upstreamDir, logDir)
		}
		b.WriteString("    x-hive:\n")
		fmt.Fprintf(&b, "      role: %s\n", svc.Role)
		if svc.once {
			b.WriteString("      once: true\n")
		}
		if svc.order > 0 {
			fmt.Fprintf(&b, "      order: %d\n", svc.order)
		}
		if svc.probe != nil {
			comment(&b, "      ", svc.probeWhy+".")
			if svc.probe.HTTP != "" {
				fmt.Fprintf(&b, "      probe: {http: %s, port: %d}\n", yamlText(svc.probe.HTTP), svc.probe.Port)
			} else {
				fmt.Fprintf(&b, "      probe: {port: %d}\n", svc.probe.Port)
			}
		}
		if svc.upstream != "" {
			fmt.Fprintf(&b, "      proxy: {upstream: %s", svc.upstream)
			if svc.health != "" {
				fmt.Fprintf(&b, ", health: %s", yamlText(svc.health))
			}
			b.WriteString("}\n")
		}
	}
	return b.String()
}

// at says where a bar stands.
func (s *stack) at(b Bar) string {
	if b.Line == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d: ", filepath.Base(s.path), b.Line)
}

// comment writes a text as comment lines of a width that can be read.
func comment(b *strings.Builder, indent, text string) {
	const width = 110
	line := ""
	for _, w := range strings.Fields(text) {
		if line != "" && len(indent)+2+len(line)+1+len(w) > width {
			fmt.Fprintf(b, "%s# %s\n", indent, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + w)
	}
	fmt.Fprintf(b, "%s# %s\n", indent, line)
}

var plainText = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9/_.-]*$`)

// yamlText is a text as YAML reads it back.
func yamlText(text string) string {
	switch strings.ToLower(text) {
	case "yes", "no", "on", "off", "true", "false", "null", "y", "n":
		return strconv.Quote(text)
	}
	if plainText.MatchString(text) {
		return text
	}
	return strconv.Quote(text)
}
