package cmd_test

import (
	"fmt"
	"strings"

	"github.com/fibership/fibership/internal/action"
)

// branding is an icon of https://feathericons.com and a colour.
var branding = map[string][2]string{
	"build-image":    {"package", "blue"},
	"deploy-staging": {"upload-cloud", "purple"},
	"promote":        {"trending-up", "green"},
	"rollback":       {"rotate-ccw", "orange"},
}

const rendered = "# Rendered from the declarations in %s; never edited by hand:\n# " + command + "\n"

// actionYAML is actions/<name>/action.yml.
func actionYAML(s action.Spec) string {
	var b strings.Builder
	fmt.Fprintf(&b, rendered, "cmd/"+s.Name)
	fmt.Fprintf(&b, "name: %s\ndescription: %s\nauthor: Fibership\n", scalar("Fibership "+s.Name), scalar(s.Description))
	fmt.Fprintf(&b, "branding:\n  icon: %s\n  color: %s\n", branding[s.Name][0], branding[s.Name][1])
	b.WriteString("inputs:\n")
	for _, input := range s.Inputs {
		value := input.Default
		if input.Expression != "" {
			value = input.Expression
		}
		inputYAML(&b, input.Name, about(input), value, input.Required)
	}
	b.WriteString("outputs:\n")
	for _, output := range s.Outputs {
		fmt.Fprintf(&b, "  %s:\n    description: %s\n", output.Name, scalar(output.Usage))
	}
	// Without args and entrypoint a caller's `with: args` or `with: entrypoint`
	// would take effect.
	fmt.Fprintf(&b, "runs:\n  using: docker\n  image: ../../Dockerfile\n  entrypoint: /usr/local/bin/%s\n  args: []\n", s.Name)
	return b.String()
}

func inputYAML(b *strings.Builder, name, description, value string, required bool) {
	fmt.Fprintf(b, "  %s:\n    description: %s\n    required: %t\n", name, scalar(description), required)
	if value != "" {
		fmt.Fprintf(b, "    default: %s\n", scalar(value))
	}
}

// about is an input's meaning with its type, and the default that a program
// works out.
func about(input *action.Input) string {
	text := sentence(input.Usage) + " (" + plain(input.Type)
	if input.DefaultText != "" {
		text += "; default: " + plain(input.DefaultText)
	}
	return text + ")"
}

func plain(text string) string { return strings.ReplaceAll(text, "`", "") }

func sentence(text string) string {
	if text == "" {
		return ""
	}
	first, rest, _ := strings.Cut(text, " ")
	if strings.ContainsAny(first, "`<>/-") || strings.ToLower(first[:1]) == first[:1] && strings.ToLower(first) != first {
		return text // a name, not a word
	}
	first = strings.ToUpper(first[:1]) + first[1:]
	if rest == "" {
		return first
	}
	return first + " " + rest
}

// scalar is a text in YAML: single-quoted, or as JSON where it has lines.
func scalar(text string) string {
	if strings.ContainsAny(text, "\n\r\t") {
		return fmt.Sprintf("%q", text)
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// inputTable is the README's table of an action's inputs.
func inputTable(s action.Spec) string {
	rows := make([][]string, len(s.Inputs))
	for i, input := range s.Inputs {
		rows[i] = []string{"`" + input.Name + "`", cell(input.Type), holds(input), cell(input.Usage)}
	}
	return action.Table([]string{"input", "type", "default", "meaning"}, rows)
}

// outputTable is the README's table of an action's outputs.
func outputTable(s action.Spec) string {
	rows := make([][]string, len(s.Outputs))
	for i, output := range s.Outputs {
		rows[i] = []string{"`" + output.Name + "`", cell(output.Usage)}
	}
	return action.Table([]string{"output", "meaning"}, rows)
}

// holds is what holds when nothing is given.
func holds(input *action.Input) string {
	value := input.Default
	if input.Expression != "" {
		value = input.Expression
	}
	switch {
	case input.Required:
		return "**required**"
	case value != "":
		return "`" + strings.ReplaceAll(cell(value), "\n", "`, `") + "`"
	}
	return cell(input.DefaultText)
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
