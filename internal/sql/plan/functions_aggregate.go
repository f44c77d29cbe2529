package plan

import (
	"kalamdb/internal/datum"
)

// aggregateFunctions are the entries of the aggregates; executors keep the
// state of a group themselves.
func aggregateFunctions() []Function {
	entry := func(name string, op AggregateOp, arg pattern, shows, doc string) Function {
		return Function{Name: name, Form: FormAggregate, Doc: doc, args: []pattern{arg}, shows: shows, op: op}
	}
	return []Function{
		{Name: "count", Form: FormAggregate, Doc: "COUNT(*): the number of rows.", result: bigintType, op: Count},
		entry("count", Count, anyArg, "BIGINT", "The number of values that are not NULL."),
		entry("sum", Sum, intArg, "BIGINT", "The sum of the values that are not NULL; NULL if there are none. Overflow is OUT_OF_RANGE."),
		entry("sum", Sum, decimalArg, "DECIMAL(min(p+10,38),s)", "The sum of the values that are not NULL."),
		entry("sum", Sum, doubleArg, "DOUBLE", "The sum of the values that are not NULL."),
		entry("avg", Avg, numberArg, "DOUBLE", "The mean of the values that are not NULL; NULL if there are none."),
		entry("avg", Avg, decimalArg, "DECIMAL(min(p+4,38),min(s+4,38))", "The mean of the values that are not NULL."),
		entry("min", Min, anyArg, "same", "The least value that is not NULL."),
		entry("max", Max, anyArg, "same", "The greatest value that is not NULL."),
	}
}

// spreadFunctions are the aggregates of statistics.
func spreadFunctions() []Function {
	one := func(name string, op AggregateOp, doc string, aliases ...string) Function {
		return Function{Name: name, Aliases: aliases, Form: FormAggregate, Doc: doc, args: []pattern{doubleArg}, result: doubleType, op: op}
	}
	two := func(name string, op AggregateOp, doc string) Function {
		return Function{Name: name, Form: FormAggregate, Doc: doc + " Pairs with a NULL are left out.", args: []pattern{doubleArg, doubleArg}, result: doubleType, op: op}
	}
	count := two("regr_count", RegrCount, "The number of pairs.")
	count.result = bigintType
	all := []Function{
		two("corr", Corr, "The correlation of y and x."),
		two("covar_pop", CovarPop, "The covariance of y and x."),
		two("covar_samp", CovarSamp, "The covariance of y and x of a sample."),
		two("regr_avgx", RegrAvgX, "The mean of x."),
		two("regr_avgy", RegrAvgY, "The mean of y."),
		count,
		two("regr_intercept", RegrIntercept, "Where the straight line that fits best meets x = 0."),
		two("regr_r2", RegrR2, "The square of the correlation."),
		two("regr_slope", RegrSlope, "The slope of the straight line that fits best."),
		two("regr_sxx", RegrSXX, "The sum of the squares of x around its mean."),
		two("regr_sxy", RegrSXY, "The sum of the products of x and y around their means."),
		two("regr_syy", RegrSYY, "The sum of the squares of y around its mean."),
	}
	for _, f := range []Function{
		one("stddev_samp", StddevSamp, "The standard deviation of a sample; NULL for fewer than two values.", "stddev"),
		one("stddev_pop", StddevPop, "The standard deviation of all values."),
		one("var_samp", VarSamp, "The variance of a sample; NULL for fewer than two values.", "variance"),
		one("var_pop", VarPop, "The variance of all values."),
	} {
		exact := f
		exact.args, exact.result = []pattern{exactArg}, datum.Type{Kind: datum.Decimal}
		exact.Doc += " It has 16 significant digits at least."
		all = append(all, exact, f)
	}
	return all
}

// gatheringFunctions are the aggregates that join values.
func gatheringFunctions() []Function {
	same := func(name string, op AggregateOp, arg pattern, doc string, aliases ...string) Function {
		return Function{Name: name, Aliases: aliases, Form: FormAggregate, Doc: doc, args: []pattern{arg}, typed: typeOfFirst, shows: "same", op: op}
	}
	return []Function{
		same("bool_and", BoolAnd, boolArg, "Whether all values that are not NULL are true.", "every"),
		same("bool_or", BoolOr, boolArg, "Whether one value is true."),
		same("bit_and", BitAnd, intArg, "Bitwise and of the values."),
		same("bit_or", BitOr, intArg, "Bitwise or of the values."),
		same("bit_xor", BitXor, intArg, "Bitwise exclusive or of the values."),
		{Name: "string_agg", Form: FormAggregate, Doc: "The texts that are not NULL, with the second argument between them.", args: []pattern{textArg, textArg}, result: textType, op: StringAgg},
		{Name: "string_agg", Form: FormAggregate, Doc: "The bytes that are not NULL, with the second argument between them.", args: []pattern{bytesArg, bytesArg}, result: bytesType, op: StringAgg},
		{Name: "json_agg", Aliases: []string{"jsonb_agg"}, Form: FormAggregate, Doc: "A JSON array of all values, NULL included; NULL for no row.", args: []pattern{anyArg}, result: jsonType, op: JSONAgg},
		{Name: "json_object_agg", Aliases: []string{"jsonb_object_agg"}, Form: FormAggregate, Doc: "A JSON object of all pairs of key and value; a key that is NULL is a fault. NULL for no row.", args: []pattern{anyArg, anyArg}, result: jsonType, op: JSONObjectAgg},
		{Name: "array_agg", Form: FormAggregate, Doc: "An array of all values, NULL included; NULL for no row.", args: []pattern{fillArg}, shows: "array", op: ArrayAgg,
			typed: func(args []Expr) datum.Type { return datum.ArrayType(args[0].Type()) }},
		same("any_value", AnyValue, anyArg, "Some value that is not NULL."),
		{Name: "approx_count_distinct", Aliases: []string{"approx_distinct"}, Form: FormAggregate, Doc: "About how many different values there are.", args: []pattern{anyArg}, result: bigintType, op: ApproxCountDistinct},
	}
}

// orderedFunctions are the aggregates WITHIN GROUP (ORDER BY …).
func orderedFunctions() []Function {
	ordered := func(name string, op AggregateOp, args []pattern, within pattern, doc string) Function {
		return Function{Name: name, Form: FormAggregate, Doc: doc, args: args, within: within, ordered: true, typed: typeOfFirst, shows: "same", op: op}
	}
	fraction := []pattern{doubleArg}
	cont := "The value at a fraction of the ordered values, between two of them if need be."
	return []Function{
		ordered("percentile_cont", PercentileCont, fraction, doubleArg, cont),
		ordered("percentile_cont", PercentileCont, fraction, intervalArg, cont),
		ordered("percentile_disc", PercentileDisc, fraction, anyArg, "The first of the ordered values at or behind a fraction of them."),
		ordered("mode", Mode, nil, anyArg, "The value that is met most often, of several the first in order."),
		{Name: "median", Aliases: []string{"approx_median"}, Form: FormAggregate, Doc: "The value in the middle: PERCENTILE_CONT(0.5) over it.", args: []pattern{doubleArg}, result: doubleType, op: PercentileCont},
		{Name: "approx_percentile_cont", Form: FormAggregate, Doc: "PERCENTILE_CONT of the second argument over the first.", args: []pattern{doubleArg, doubleArg}, result: doubleType, op: PercentileCont},
	}
}

// windowFunctions are the functions that stand with OVER only.
func windowFunctions() []Function {
	plain := func(name string, result datum.Type, doc string) Function {
		return Function{Name: name, Form: FormWindow, Doc: doc, result: result}
	}
	value := func(name string, doc string, args ...pattern) Function {
		return Function{Name: name, Form: FormWindow, Doc: doc, args: args, typed: typeOfFirst, shows: "the first"}
	}
	const lag, lead = "The value so many rows before this one, 1 without a number; the third argument, or NULL, where there is no such row.",
		"The value so many rows after this one, 1 without a number; the third argument, or NULL, where there is no such row."
	return []Function{
		plain("row_number", bigintType, "The number of the row, from 1."),
		plain("rank", bigintType, "The number of the first row that sorts alike."),
		plain("dense_rank", bigintType, "The number of the group of rows that sort alike, from 1."),
		plain("percent_rank", doubleType, "(rank - 1) / (rows - 1)."),
		plain("cume_dist", doubleType, "The share of the rows that sort before or like this one."),
		{Name: "ntile", Form: FormWindow, Doc: "Which of so many parts, as equal as can be, the row is in.", args: []pattern{intArg}, result: intType},
		value("lag", lag, anyArg), value("lag", lag, anyArg, intArg), value("lag", lag, sameArg, intArg, sameArg),
		value("lead", lead, anyArg), value("lead", lead, anyArg, intArg), value("lead", lead, sameArg, intArg, sameArg),
		value("first_value", "The value of the first row of the frame.", anyArg),
		value("last_value", "The value of the last row of the frame.", anyArg),
		value("nth_value", "The value of the n-th row of the frame, NULL if there is none.", anyArg, intArg),
	}
}
