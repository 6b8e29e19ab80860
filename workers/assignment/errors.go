package assignment

import (
	"fmt"
	"strings"
)

// FieldProblem says what is wrong with one field of a request.
type FieldProblem struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// InvalidError is a request that can never succeed as it is.
type InvalidError struct{ Fields []FieldProblem }

func (e *InvalidError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Field + " " + f.Problem
	}
	return strings.Join(parts, "; ")
}

func invalid(field, problem string, args ...any) error {
	return &InvalidError{Fields: []FieldProblem{{field, fmt.Sprintf(problem, args...)}}}
}

// TooLargeError is a payload or result over its bound, in bytes.
type TooLargeError struct {
	What      string
	Size, Max int
}

func (e *TooLargeError) Error() string {
	if e.Size == 0 {
		return fmt.Sprintf("%s is over %d bytes", e.What, e.Max)
	}
	return fmt.Sprintf("%s has %d bytes, at most %d are accepted", e.What, e.Size, e.Max)
}
