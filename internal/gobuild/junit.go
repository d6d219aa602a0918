package gobuild

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The parts of a JUnit file that its readers agree on.
// Source: https://github.com/testmoapp/junitxml
type (
	junitFile struct {
		XMLName  xml.Name      `xml:"testsuites"`
		Tests    int           `xml:"tests,attr"`
		Failures int           `xml:"failures,attr"`
		Skipped  int           `xml:"skipped,attr"`
		Time     string        `xml:"time,attr"`
		Suites   []*junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string    `xml:"classname,attr"`
		Name    string    `xml:"name,attr"`
		Time    string    `xml:"time,attr"`
		Failure *junitEnd `xml:"failure"`
		Skipped *junitEnd `xml:"skipped"`
	}
	junitEnd struct {
		Message string `xml:"message,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit tells of every test in JUnit's XML, a suite for each package.
// Bytes that XML cannot hold are replaced.
func (t Tests) WriteJUnit(w io.Writer) error {
	file := junitFile{Time: seconds(t.Seconds)}
	suites, times := map[string]*junitSuite{}, map[string]float64{}
	for _, c := range t.Cases {
		suite := suites[c.Package]
		if suite == nil {
			suite = &junitSuite{Name: c.Package}
			suites[c.Package] = suite
			file.Suites = append(file.Suites, suite)
		}
		told := junitCase{Class: c.Package, Name: c.Name, Time: seconds(c.Seconds)}
		if c.Name == "" {
			told.Name = "the package as a whole"
		}
		switch c.Outcome {
		case Failed:
			told.Failure = &junitEnd{Message: strings.TrimSpace(firstComplaint(c.Output)), Text: c.Output}
			suite.Failures, file.Failures = suite.Failures+1, file.Failures+1
		case Skipped:
			told.Skipped = new(junitEnd)
			suite.Skipped, file.Skipped = suite.Skipped+1, file.Skipped+1
		case Passed:
		}
		suite.Tests, file.Tests = suite.Tests+1, file.Tests+1
		if !strings.Contains(c.Name, "/") { // a test's time holds that of its parts
			times[c.Package] += c.Seconds
		}
		suite.Time = seconds(times[c.Package])
		suite.Cases = append(suite.Cases, told)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", " ")
	if err := encoder.Encode(file); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }
