package action

import (
	"encoding/json"
	"fmt"
	"strings"
)

// help is what --help prints.
func (s *Spec) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", s.Name, s.Description)
	fmt.Fprintf(&b, "Usage: %s [--input value …]\n\n", s.Name)
	b.WriteString("An input is read from its flag, else from the variable INPUT_<NAME>\n")
	b.WriteString("(upper case, hyphens kept). An empty value is the same as none.\n\n")
	b.WriteString("Inputs:\n")
	for _, input := range s.Inputs {
		fmt.Fprintf(&b, "  --%s  (%s%s)\n", input.Name, strings.ReplaceAll(input.Type, "`", ""), input.holds())
		fmt.Fprintf(&b, "      %s\n", input.Usage)
		if input.Example != "" {
			fmt.Fprintf(&b, "      example: %s\n", strings.ReplaceAll(input.Example, "\n", "\n               "))
		}
	}
	b.WriteString("\nOutputs (to the file GITHUB_OUTPUT, else name=value on standard output):\n")
	for _, output := range s.Outputs {
		fmt.Fprintf(&b, "  %s\n      %s\n", output.Name, output.Usage)
	}
	b.WriteString("\nExit codes: 0 done, 1 failed or refused, 2 wrong inputs, 130 cancelled.\n")
	return b.String()
}

// holds tells, for help, what holds when nothing is given.
func (i *Input) holds() string {
	switch {
	case i.Required:
		return "; required"
	case i.Default != "":
		return "; default " + strings.ReplaceAll(i.Default, "\n", ", ")
	case i.DefaultText != "":
		return "; default: " + i.DefaultText
	}
	return ""
}

// describe is the declaration as JSON, from which action.yml and the README's
// tables are rendered.
func (s *Spec) describe() []byte {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // texts and booleans only
	}
	return append(data, '\n')
}
