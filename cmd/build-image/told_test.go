package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestBuild_writesJUnitWhenAsked(t *testing.T) {
	registry := newServer(t)
	bad := "package greet\n\nimport \"testing\"\n\nfunc TestBad(t *testing.T) {\n\tt.Run(\"part\", func(t *testing.T) { t.Error(\"no ]]> \\x1b good\") })\n}\n"
	in := inputs{"image": registry.host + "/acme/orders", "tags": "v1", "junit": "reports/junit.xml"}
	var file struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Skipped  int `xml:"skipped,attr"`
		Suites   []struct {
			Name  string `xml:"name,attr"`
			Cases []struct {
				Class   string  `xml:"classname,attr"`
				Name    string  `xml:"name,attr"`
				Time    float64 `xml:"time,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	read := func(workspace string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(workspace, "reports", "junit.xml"))
		if err != nil {
			t.Fatal(err)
		}
		file.Suites = nil
		if err := xml.Unmarshal(data, &file); err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
	}
	workspace := orders().with("greet/bad_test.go", bad).write(t)
	act(t, workspace, in).wants(t, 1, "tests failed")
	read(workspace)
	if file.Tests != 4 || file.Failures != 2 || file.Skipped != 1 || len(file.Suites) != 1 || file.Suites[0].Name != "github.com/acme/orders/greet" {
		t.Errorf("%+v", file)
	}
	for _, c := range file.Suites[0].Cases {
		if c.Name == "TestBad/part" && (c.Failure == nil || c.Failure.Message != "bad_test.go:6: no ]]> \uFFFD good") {
			t.Errorf("%+v %+v", c, c.Failure)
		}
	}

	// The results of a run are asked for, so there is one.
	for range 2 {
		workspace = orders().write(t)
		act(t, workspace, in).wants(t, 0)
		read(workspace)
		if file.Tests != 2 || file.Failures != 0 || file.Skipped != 1 {
			t.Errorf("%+v", file)
		}
	}

	t.Run("never through a link out of the repository", func(t *testing.T) {
		workspace, elsewhere := orders().write(t), t.TempDir()
		if err := os.Symlink(elsewhere, filepath.Join(workspace, "reports")); err != nil {
			t.Fatal(err)
		}
		act(t, workspace, in).wants(t, 1, "write the input junit")
		if entries, _ := os.ReadDir(elsewhere); len(entries) > 0 {
			t.Errorf("%s was written", entries[0].Name())
		}
	})
}

func TestBuild_tellsWhatChangedSinceLast(t *testing.T) {
	registry := newServer(t)
	in := inputs{"image": registry.host + "/acme/orders", "tests": "none", "include": "public:/app/public"}
	first := act(t, orders().write(t), in)
	first.wants(t, 0)
	if strings.Contains(first.summary, "since") {
		t.Errorf("the first image is compared with something:\n%s", first.summary)
	}
	grown := orders().with("public/index.html", strings.Repeat("<h1>orders</h1>\n", 10)+first.outputs["digest"])
	second := act(t, grown.write(t), in)
	second.wants(t, 0)
	was := strings.TrimPrefix(first.outputs["digest"], "sha256:")[:12]
	for _, want := range []string{" kB since `main`, which was `" + was + "`", "since `main`", "| root file system | 0.", "| program | 0.", "| unchanged |", "| +0."} {
		if !strings.Contains(second.summary, want) {
			t.Errorf("the summary lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(second.summary)
	}
	if again := act(t, grown.write(t), in); strings.Contains(again.summary, "since") {
		t.Errorf("an image is compared with itself:\n%s", again.summary)
	}
	several := act(t, grown.write(t), in.and(inputs{"platforms": "linux/amd64,linux/arm64"}))
	if !strings.Contains(several.summary, "since `main`") || !strings.Contains(several.summary, "| unchanged |") {
		t.Errorf("an index is not compared with the image before:\n%s", several.summary)
	}
}

func TestBuild_namesTheModulesLicence(t *testing.T) {
	ours, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	registry := newServer(t)
	in := inputs{"image": registry.host + "/acme/orders", "tests": "none", "tags": "v1"}
	for want, text := range map[string]string{"Apache-2.0": string(ours), "": "All rights reserved.\n"} {
		got := act(t, orders().with("LICENSE", text).write(t), in)
		got.wants(t, 0)
		config, err := registry.image(t, got.outputs["image"]).ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if id := config.Config.Labels["org.opencontainers.image.licenses"]; id != want {
			t.Errorf("licence %q, want %q", id, want)
		}
	}
}

// The compiler's memory is its own matter; ours does not grow with the program.
func TestBuild_needsLittleMemoryForALargeProgram(t *testing.T) {
	registry := newServer(t)
	const size = 100 << 20
	workspace := orders().with("main.go", "package main\n\nimport _ \"embed\"\n\n//go:embed large.bin\nvar large []byte\n\nfunc main() { println(large[0], len(large)) }\n").write(t)
	if err := os.WriteFile(filepath.Join(workspace, "large.bin"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(workspace, "large.bin"), size); err != nil {
		t.Fatal(err)
	}
	cmd, result := start(t.Context(), t, workspace, inputs{"image": registry.host + "/acme/orders", "tests": "none", "tags": "v1"})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	peak := 0
	for poll := time.NewTicker(2 * time.Millisecond); ; {
		select {
		case err := <-ended:
			poll.Stop()
			if err != nil {
				t.Fatal(err, result().log)
			}
			if peak == 0 || peak > 64<<10 {
				t.Errorf("%d kB of memory for a program of %d MB", peak, size>>20)
			}
			t.Logf("%d kB of memory at most", peak)
			if !strings.Contains(result().log, ": 106.") {
				t.Errorf("the program is not as large as it should be:\n%s", result().log)
			}
			return
		case <-poll.C:
			status, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "status"))
			if _, rest, ok := strings.Cut(string(status), "VmHWM:"); ok {
				if kib, err := strconv.Atoi(strings.Fields(rest)[0]); err == nil {
					peak = max(peak, kib)
				}
			}
		}
	}
}

func TestBuild_createsRepositoriesAtAmazonOnly(t *testing.T) {
	act(t, orders().write(t), inputs{"image": "127.0.0.1:1/acme/orders", "create-repository": "true"}).
		wants(t, 2, "create-repository", "dkr.ecr.<region>.amazonaws.com")
}
