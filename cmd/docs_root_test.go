package cmd_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fibership/fibership/internal/action"
)

// told are the inputs that mean something else where several stages run.
var told = map[string]string{
	"image":       "For build-image the repository to push to; for deploy-staging and promote the image to ship, where no stage before made it; promote alone may leave it out",
	"port":        "What the service listens on, 3000 where nothing is given; the port that the image says it listens on, none where nothing is given",
	"environment": "The environment that promote or rollback changes, production where nothing is given, or that deploy-staging changes where it is the only stage that deploys, staging where nothing is given; before another stage deploy-staging changes the one named by from",
	"namespace":   "The namespace of environment, its name where nothing is given; deploy-staging before another stage uses from-namespace",
	"kubeconfig":  "A kubeconfig's content or its path, KUBECONFIG where nothing is given; deploy-staging before another stage uses from-kubeconfig where it is given",
	"context":     "The kubeconfig's context, the current one where nothing is given; deploy-staging before another stage uses from-context where it is given",
	"host":        "A host name to route to the service; deploy-staging before another stage makes no route",
	"env":         "Variables of the service, NAME=value a line; of the image where no stage deploys",
}

// handed are the inputs that a stage is not simply handed as they are, by
// stage and name. `onward` is set where deploy-staging has a stage after it,
// `deploys` where any stage deploys.
var handed = map[string]string{
	"build-image env":            "${{ !steps.stages.outputs.deploys && inputs.env || '' }}",
	"deploy-staging image":       "${{ steps.build-image.outputs.image || inputs.image }}",
	"deploy-staging environment": "${{ steps.stages.outputs.onward && (inputs.from || 'staging') || inputs.environment }}",
	"deploy-staging namespace":   "${{ steps.stages.outputs.onward && inputs.from-namespace || !steps.stages.outputs.onward && inputs.namespace || '' }}",
	"deploy-staging kubeconfig":  "${{ steps.stages.outputs.onward && inputs.from-kubeconfig || inputs.kubeconfig }}",
	"deploy-staging context":     "${{ steps.stages.outputs.onward && inputs.from-context || !(steps.stages.outputs.onward && inputs.from-kubeconfig) && inputs.context || '' }}",
	"deploy-staging host":        "${{ !steps.stages.outputs.onward && inputs.host || '' }}",
	"promote image":              "${{ steps.deploy-staging.outputs.image || steps.build-image.outputs.image || inputs.image }}",
}

// The first step reads `run`, in Bash since expressions cannot split words; it
// writes known words only. The last tells which stage was the last to run, from
// which the action's outputs are taken.
const (
	stagesStep = `    - id: stages
      shell: bash
      env:
        RUN: ${{ inputs.run }}
      run: |
        set -f
        stages=' '
        for word in ${RUN//,/ }; do
          case $word in
            build-image | deploy-staging | promote | rollback) stages+="$word " ;;
            *)
              echo '::error title=Wrong input%3A run::expected build-image, deploy-staging, promote or rollback, or several of them with spaces between; for example: build-image deploy-staging promote'
              exit 2 ;;
          esac
        done
        if [[ $stages == ' ' ]]; then
          echo '::error title=Wrong input%3A run::it is required; for example: build-image deploy-staging promote'
          exit 2
        fi
        {
          echo "stages=$stages"
          if [[ $stages =~ ' '(deploy-staging|promote|rollback)' ' ]]; then echo deploys=true; fi
          if [[ $stages == *' deploy-staging '* && $stages =~ ' '(promote|rollback)' ' ]]; then echo onward=true; fi
        } >>"$GITHUB_OUTPUT"
`
	lastStep = `    - id: last
      if: always()
      shell: bash
      env:
ENV      run: |
        last=
        for outcome in WORDS; do
          case ${outcome#*=} in
            '' | skipped) ;;
            *) last=${outcome%%=*} ;;
          esac
        done
        echo "stage=$last" >>"$GITHUB_OUTPUT"
`
)

// rootYAML is the root action.yml: the four actions as stages of one step.
func rootYAML(all []action.Spec) string {
	var b strings.Builder
	fmt.Fprintf(&b, rendered, "cmd/*")
	b.WriteString("name: Fibership\ndescription: 'Take a Go service from a commit to production and back: build-image, deploy-staging, promote and rollback as stages of one step'\nauthor: Fibership\n")
	b.WriteString("branding:\n  icon: anchor\n  color: blue\ninputs:\n")
	inputYAML(&b, "run", "The stages to run, with spaces between: build-image, deploy-staging, promote, or any one of these or rollback; they run in this order and each is handed the outputs of the one before", "", true)
	for _, name := range union(all, inputNames) {
		inputYAML(&b, name, toldOf(all, name), expression(all, name), false)
	}
	b.WriteString("outputs:\n")
	for _, name := range union(all, outputNames) {
		rootOutput(&b, name, "Of the last stage that ran: "+outputUsage(all, name), "steps[steps.last.outputs.stage].outputs."+name)
	}
	for _, s := range all {
		for _, output := range s.Outputs {
			rootOutput(&b, s.Name+"-"+output.Name, "Of "+s.Name+": "+output.Usage, "steps."+s.Name+".outputs."+output.Name)
		}
	}
	b.WriteString("runs:\n  using: composite\n  steps:\n" + stagesStep)
	for _, s := range all {
		fmt.Fprintf(&b, "    - id: %[1]s\n      if: contains(steps.stages.outputs.stages, ' %[1]s ')\n      uses: fibership/fibership/actions/%[1]s@v1\n      with:\n", s.Name)
		for _, input := range s.Inputs {
			value, ok := handed[s.Name+" "+input.Name]
			if !ok {
				value = "${{ inputs." + input.Name + " }}"
			}
			fmt.Fprintf(&b, "        %s: %s\n", input.Name, value)
		}
	}
	var env, words strings.Builder
	for i, s := range all {
		variable := strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
		fmt.Fprintf(&env, "        %s: ${{ steps.%s.outcome }}\n", variable, s.Name)
		if i > 0 {
			words.WriteString(" ")
		}
		fmt.Fprintf(&words, `"%s=$%s"`, s.Name, variable)
	}
	b.WriteString(strings.NewReplacer("ENV", env.String(), "WORDS", words.String()).Replace(lastStep))
	return b.String()
}

func rootOutput(b *strings.Builder, name, description, expression string) {
	fmt.Fprintf(b, "  %s:\n    description: %s\n    value: ${{ %s }}\n", name, scalar(description), expression)
}

func inputNames(s action.Spec) (all []string) {
	for _, input := range s.Inputs {
		all = append(all, input.Name)
	}
	return all
}

func outputNames(s action.Spec) (all []string) {
	for _, output := range s.Outputs {
		all = append(all, output.Name)
	}
	return all
}

// union is every name once, in the order in which the stages declare them.
func union(all []action.Spec, of func(action.Spec) []string) []string {
	var names []string
	for _, s := range all {
		for _, name := range of(s) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// toldOf is an input's meaning, its stages and their defaults: these stay in
// the programs, since an empty value is the same as none.
func toldOf(all []action.Spec, name string) string {
	var usage string
	var stages, defaults []string
	for _, s := range all {
		for _, input := range s.Inputs {
			if input.Name != name {
				continue
			}
			if usage == "" {
				usage = sentence(input.Usage)
			}
			stages = append(stages, s.Name)
			value := strings.ReplaceAll(input.Default, "\n", ", ")
			if value == "" {
				value = plain(input.DefaultText)
			}
			if value != "" && input.Expression == "" && !slices.Contains(defaults, value) {
				defaults = append(defaults, value)
			}
		}
	}
	if text, ok := told[name]; ok {
		return text + " (" + strings.Join(stages, ", ") + ")"
	}
	text := usage + " (" + strings.Join(stages, ", ")
	if len(defaults) > 0 {
		text += "; default: " + strings.Join(defaults, " or ")
	}
	return text + ")"
}

// expression is the first workflow expression that a stage names as default.
func expression(all []action.Spec, name string) string {
	for _, s := range all {
		for _, input := range s.Inputs {
			if input.Name == name && input.Expression != "" {
				return input.Expression
			}
		}
	}
	return ""
}

func outputUsage(all []action.Spec, name string) string {
	for _, s := range all {
		for _, output := range s.Outputs {
			if output.Name == name {
				return output.Usage
			}
		}
	}
	return ""
}
