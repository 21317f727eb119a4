package routes

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

// Conditions and mappings are written in CEL, the Common Expression Language: it has no
// loops but those over what is there, no I/O, no clock and no way out. What is left to
// bound is how much one evaluation may do.
const (
	// costLimit is about a hundred times what a long sensible condition needs.
	costLimit = 20_000
	// evalTime ends what the cost does not, such as a comparison of large texts in a loop.
	evalTime = 20 * time.Millisecond
	// nesting bounds the parser.
	nesting = 40
	// maxPrograms is how many compiled expressions are kept; beyond it all are forgotten.
	maxPrograms = 4096
)

// kind is what an expression must come to.
type kind int

const (
	condition kind = iota // true or false
	word                  // a text
	number                // a number
	anything              // a text, a number, true or false, or a list of those
)

func (k kind) String() string {
	return [...]string{"true or false", "a text", "a number", "a text, a number, true or false, or a list of those"}[k]
}

// program is a compiled expression.
type program struct {
	run cel.Program
	// loops is set where it goes through a list, so that its time has to be watched.
	loops bool
}

// Expressions compiles expressions, each once. It is safe for concurrent use.
type Expressions struct {
	env *cel.Env

	mu       sync.RWMutex
	programs map[string]*compiled
}

type compiled struct {
	program *program
	err     error
}

// NewExpressions returns one that has compiled nothing yet.
func NewExpressions() (*Expressions, error) {
	var vars []cel.EnvOption
	for _, v := range variables {
		vars = append(vars, cel.Variable(v.name, v.of))
	}
	env, err := cel.NewEnv(append(vars,
		cel.CrossTypeNumericComparisons(true), // value > 100, not only value > 100.0
		cel.ParserExpressionSizeLimit(settings.MaxExpression),
		cel.ParserRecursionLimit(nesting),
	)...)
	if err != nil {
		return nil, fmt.Errorf("make the language of conditions: %w", err)
	}
	return &Expressions{env: env, programs: map[string]*compiled{}}, nil
}

// get compiles an expression, or returns what came of it before.
func (x *Expressions) get(expression string, want kind) (*program, error) {
	key := strconv.Itoa(int(want)) + expression
	x.mu.RLock()
	c := x.programs[key]
	x.mu.RUnlock()
	if c != nil {
		return c.program, c.err
	}
	c = &compiled{}
	c.program, c.err = x.compile(expression, want)
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.programs) >= maxPrograms {
		clear(x.programs)
	}
	x.programs[key] = c
	return c.program, c.err
}

func (x *Expressions) compile(expression string, want kind) (*program, error) {
	if len(expression) > settings.MaxExpression {
		return nil, fmt.Errorf("is longer than %d bytes", settings.MaxExpression)
	}
	checked, issues := x.env.Compile(expression)
	if issues.Err() != nil {
		return nil, place(issues)
	}
	if of := checked.OutputType(); !want.takes(of) {
		return nil, fmt.Errorf("must come to %s, not to %s", want, of)
	}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	loops, grows := burden(checked)
	if loops || grows {
		// Counting costs as much as the rest; what only compares needs none.
		options = append(options, cel.CostLimit(costLimit), cel.InterruptCheckFrequency(64))
	}
	run, err := x.env.Program(checked, options...)
	if err != nil {
		return nil, fmt.Errorf("cannot be used: %s", brief(err.Error()))
	}
	return &program{run, loops}, nil
}

// burden says whether an expression goes through lists, and whether it makes or reads
// through texts: all else takes as long as it is long itself.
func burden(checked *cel.Ast) (loops, grows bool) {
	root := ast.NavigateAST(checked.NativeRep())
	loops = len(ast.MatchDescendants(root, ast.KindMatcher(ast.ComprehensionKind))) > 0
	for _, call := range ast.MatchDescendants(root, ast.KindMatcher(ast.CallKind)) {
		switch call.AsCall().FunctionName() {
		case "_+_", "matches", "contains", "string", "bytes":
			grows = true
		}
	}
	return loops, grows
}

func (k kind) takes(of *cel.Type) bool {
	if of.IsExactType(cel.DynType) {
		return true
	}
	switch k {
	case condition:
		return of.IsExactType(cel.BoolType)
	case word:
		return of.IsExactType(cel.StringType)
	case number:
		return of.IsExactType(cel.DoubleType) || of.IsExactType(cel.IntType) || of.IsExactType(cel.UintType)
	}
	return true
}

// place says where the first mistake is.
func place(issues *cel.Issues) error {
	all := issues.Errors()
	if len(all) == 0 {
		return errors.New(brief(issues.Err().Error()))
	}
	at := ""
	if line := all[0].Location.Line(); line > 1 {
		at = fmt.Sprintf("line %d, ", line)
	}
	return fmt.Errorf("%scolumn %d: %s", at, all[0].Location.Column()+1, brief(syntax(strings.ReplaceAll(all[0].Message, " (in container '')", ""))))
}

// syntax says what the parser stumbled over, and not the names of all that it would have taken.
func syntax(message string) string {
	found, ok := strings.CutPrefix(message, "Syntax error: ")
	if !ok {
		return message
	}
	found, _, _ = strings.Cut(found, " expecting ")
	for _, kind := range []string{"mismatched input ", "extraneous input ", "no viable alternative at input "} {
		if what, ok := strings.CutPrefix(found, kind); ok && what == "'<EOF>'" {
			return "Syntax error: something is missing at the end"
		} else if ok {
			return "Syntax error: " + what + " is not expected here"
		}
	}
	return "Syntax error: " + found
}

func brief(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}

// eval runs a program over an event. A panic of the language is an error.
func (p *program) eval(f *facts) (v ref.Val, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the expression broke the language: %T", r)
		}
	}()
	if !p.loops {
		v, _, err = p.run.Eval(f)
		return v, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), evalTime)
	defer cancel()
	v, _, err = p.run.ContextEval(ctx, f)
	return v, err
}

// Check says what is wrong with a route's expressions, by their place in it: the column
// and what is there.
func (x *Expressions) Check(r settings.Route) (bad []settings.Problem) {
	check := func(at, expression string, want kind) {
		if expression == "" {
			return
		}
		if _, err := x.get(expression, want); err != nil {
			bad = append(bad, settings.Problem{Field: at, Message: err.Error()})
		}
	}
	check("when", r.When, condition)
	r.Map.Each(func(at, expression string) { check("map."+at, expression, wants(at)) })
	return bad
}

// wants is what a mapping of a place must come to.
func wants(at string) kind {
	switch at {
	case "name", "currency", "order_id":
		return word
	case "value":
		return number
	}
	return anything
}

// holds asks a condition. why says what an event lacks that it asks about: then it does
// not hold.
func (x *Expressions) holds(expression string, f *facts) (holds bool, why string, err error) {
	p, err := x.get(expression, condition)
	if err != nil {
		return false, "", err
	}
	v, err := p.eval(f)
	if err != nil {
		if key, ok := strings.CutPrefix(err.Error(), "no such key: "); ok {
			return false, "the event has no " + brief(key), nil
		}
		return false, "", errors.New(brief(err.Error()))
	}
	b, ok := v.Value().(bool)
	if !ok {
		return false, "", fmt.Errorf("it comes to %s, not to true or false", v.Type().TypeName())
	}
	return b, "", nil
}

// value is what an expression comes to, as JSON.
func (x *Expressions) value(expression string, want kind, f *facts) (jsontext.Value, error) {
	p, err := x.get(expression, want)
	if err != nil {
		return nil, err
	}
	v, err := p.eval(f)
	if err != nil {
		return nil, errors.New(brief(err.Error()))
	}
	return literal(v, want, 0)
}

var errLarge = errors.New("it comes to more than a partner takes")

// maxMade bounds one mapped text, in bytes, and a list, in members.
const (
	maxMade  = 4096
	maxItems = 200
)

func literal(v ref.Val, want kind, depth int) (jsontext.Value, error) {
	switch n := v.(type) {
	case types.String:
		if want == number {
			break
		}
		if len(n) > maxMade {
			return nil, errLarge
		}
		b, err := jsontext.AppendQuote(nil, strings.ToValidUTF8(string(n), "\uFFFD"))
		return jsontext.Value(b), err
	case types.Int:
		if want != word {
			return jsontext.Value(strconv.FormatInt(int64(n), 10)), nil
		}
	case types.Uint:
		if want != word {
			return jsontext.Value(strconv.FormatUint(uint64(n), 10)), nil
		}
	case types.Double:
		if want != word {
			if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
				return nil, errors.New("it comes to no finite number")
			}
			return jsontext.Value(strconv.FormatFloat(float64(n), 'f', -1, 64)), nil
		}
	case types.Bool:
		if want == anything {
			return jsontext.Value(strconv.FormatBool(bool(n))), nil
		}
	case interface {
		Size() ref.Val
		Get(ref.Val) ref.Val
	}:
		size, ok := n.Size().(types.Int)
		if want != anything || depth > 0 || v.Type() != types.ListType || !ok {
			break
		}
		if size > maxItems {
			return nil, errLarge
		}
		out := []byte{'['}
		for i := types.Int(0); i < size; i++ {
			if i > 0 {
				out = append(out, ',')
			}
			one, err := literal(n.Get(i), anything, 1)
			if err != nil {
				return nil, err
			}
			out = append(out, one...)
		}
		return append(out, ']'), nil
	}
	return nil, fmt.Errorf("it comes to %s, not to %s", v.Type().TypeName(), want)
}

// amount reads a mapped number as an amount of money.
func amount(v jsontext.Value) (event.Amount, error) {
	a, err := event.ParseAmount(string(v))
	if err != nil {
		return "", fmt.Errorf("it comes to %s, which is no amount", brief(string(v)))
	}
	return a, nil
}
