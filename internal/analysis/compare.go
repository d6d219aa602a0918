package analysis

import "fmt"

// compare judges a check against the baseline. sound says whether a table
// shows a difference that chance does not explain; ended that no more data
// will come.
func (r Rules) compare(c Check, now Measurement, baseline *Measurement, sound func(table) bool, ended bool) Result {
	read := c.read(now)
	result := Result{Check: c.Text, Samples: read.samples}
	if !read.has {
		result.Detail = c.missing(now)
		return result
	}
	result.Measured = c.Metric.show(read.value)
	if baseline == nil {
		result.Detail = "there is no baseline to compare with"
		return result
	}
	base := c.read(*baseline)
	if !base.has {
		result.Detail = c.missing(*baseline) + " of the baseline"
		return result
	}
	against := fmt.Sprintf("%s against the baseline's %s", result.Measured, c.Metric.show(base.value))
	if c.Metric == Restarts {
		base.value *= exposed(now, *baseline)
		against += fmt.Sprintf(", which is %.2g for as many pods in as much time", base.value)
	}
	need := r.need(c)
	enough := !read.requests || read.samples >= need && base.samples >= need
	worse := c.worse(read.value, base.value)
	if read.requests {
		against += fmt.Sprintf(", over %d and %s", read.samples, plural(base.samples, "request"))
	}
	against += read.note
	switch {
	case worse && c.Metric == Query: // one number of each has no chance to be told from
		if !ended {
			result.Detail = against + " so far"
			break
		}
		result.Verdict = Fail
		result.Detail = against
	case worse && sound(c.table(now, *baseline)):
		result.Verdict = Fail
		result.Detail = against
	case !enough:
		result.Detail = fmt.Sprintf("%s: at least %d of each are needed to judge", against, need)
	case worse:
		result.Verdict = Pass
		result.Detail = against + ": chance explains the difference"
	default:
		result.Verdict = Pass
		result.Detail = against
	}
	return result
}

// worse says whether the version is worse by more than the check's value.
func (c Check) worse(now, base float64) bool {
	by := c.Value
	if c.Relative {
		by *= base
	}
	if c.Metric == Rate {
		return base-now > by
	}
	return now-base > by
}

// table counts what the comparison rests on.
func (c Check) table(now, base Measurement) table {
	if q, ok := c.Metric.Quantile(); ok {
		if c.Metric == Max {
			q = 0.99 // a single request proves nothing: the slowest hundredth does
		}
		return slower(now.Latency, base.Latency, q)
	}
	switch c.Metric {
	case ErrorRate:
		return table{now.Errors, now.Requests, base.Errors, base.Requests}
	case Restarts:
		of, baseOf := exposure(now, base)
		return events(int64(now.Restarts), of, int64(base.Restarts), baseOf)
	case Rate: // worse is fewer: the baseline's requests are the bad ones
		return events(base.Requests, base.Window.Seconds(), now.Requests, now.Window.Seconds())
	case P50, P90, P95, P99, Max, Query:
	}
	return table{}
}

// exposure is the time in which each could restart: that of all its pods, or,
// where that is not known of both, of the measurement.
func exposure(now, base Measurement) (of, baseOf float64) {
	if now.PodTime > 0 && base.PodTime > 0 {
		return now.PodTime.Seconds(), base.PodTime.Seconds()
	}
	return now.Window.Seconds(), base.Window.Seconds()
}

// exposed is how many times the baseline's exposure the version's is; 1 where
// one of them has none.
func exposed(now, base Measurement) float64 {
	of, baseOf := exposure(now, base)
	if of <= 0 || baseOf <= 0 {
		return 1
	}
	return of / baseOf
}

// events makes a table of counts in time: so many events of a rare kind in so
// many moments. The moments are many beside the events, so that the table's
// exact test is that of two Poisson rates.
func events(n int64, seconds float64, baseN int64, baseSeconds float64) table {
	if seconds <= 0 || baseSeconds <= 0 {
		return table{}
	}
	scale := 1e9 / (seconds + baseSeconds)
	return table{n, int64(seconds * scale), baseN, int64(baseSeconds * scale)}
}
