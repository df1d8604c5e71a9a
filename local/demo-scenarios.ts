/** What the demo model replays: each scenario's programs in order; all but the last fail when they are run. */
export interface DemoScenario {
  prompt: string;
  programs: readonly [string, ...string[]];
}

export const demoScenarios: readonly DemoScenario[] = [
  {
    prompt: 'Create a function to calculate factorial',
    programs: [
      `def factorial(n: int) -> int:
    """Return n!, the product of the whole numbers from 1 to n."""
    if n = 1:
        return 1
    return n * factorial(n - 1)


print(f"Factorial of 5: {factorial(5)}")`,

      `def factorial(n: int) -> int:
    """Return n!, the product of the whole numbers from 1 to n."""
    if n < 0:
        raise ValueError("factorial is not defined for negative numbers")
    if n == 0 or n == 1:
        return 1
    return n * factorial(n - 1)


print(f"Factorial of 5: {factorial(5)}")`,
    ],
  },
  {
    prompt: 'Implement quicksort algorithm with example',
    programs: [
      `def quicksort(numbers: list[int]) -> list[int]:
    """Return the numbers in ascending order."""
    if len(numbers) <= 1:
        return numbers
    pivot = numbers[len(numbers) // 2]
    smaller = [number for number in numbers if number < pivot]
    larger = [number for number in numbers if number > pivot]
    return quicksort(smaller) + [pivot] + quicksort(larger)


example = [33, 10, 55, 71, 29, 3, 18, 33]
result = quicksort(example)
print(f"Unsorted: {example}")
print(f"Sorted:   {result}")
assert result == sorted(example), f"expected {sorted(example)}, but got {result}"`,

      `def quicksort(numbers: list[int]) -> list[int]:
    """Return the numbers in ascending order."""
    if len(numbers) <= 1:
        return list(numbers)
    pivot = numbers[len(numbers) // 2]
    smaller = [number for number in numbers if number < pivot]
    equal = [number for number in numbers if number == pivot]
    larger = [number for number in numbers if number > pivot]
    return quicksort(smaller) + equal + quicksort(larger)


def check_quicksort() -> None:
    """Compare quicksort with Python's own sort."""
    cases: dict[str, list[int]] = {
        "empty": [],
        "single": [7],
        "sorted": [1, 2, 3, 4],
        "reversed": [4, 3, 2, 1],
        "duplicates": [2, 2, 1, 3, 1],
        "negative": [0, -5, 3, -1],
    }
    for name, numbers in cases.items():
        result = quicksort(numbers)
        assert result == sorted(numbers), f"{name}: got {result}"
        print(f"{name:>10}: {numbers} -> {result}")


example = [33, 10, 55, 71, 29, 3, 18, 33]
print(f"Unsorted: {example}")
print(f"Sorted:   {quicksort(example)}")
print()
check_quicksort()`,
    ],
  },
  {
    prompt: 'Create code to analyze a list of numbers and find statistics',
    programs: [
      `import statistics


def analyze(numbers: list[float]) -> dict[str, float]:
    """Return the key figures of a list of numbers."""
    return {
        "count": len(numbers),
        "sum": sum(numbers),
        "mean": statistics.mean(numbers),
        "median": statistics.median(numbers),
        "standard deviation": statistics.stdev(numbers),
        "minimum": min(numbers),
        "maximum": max(numbers),
    }


samples: dict[str, list[float]] = {
    "Temperatures": [21.5, 19.0, 23.5, 22.0, 19.0, 24.5],
    "One number": [42.0],
    "No numbers": [],
}

for name, numbers in samples.items():
    print(name)
    for label, value in analyze(numbers).items():
        print(f"  {label:<20}{value:>10.2f}")`,

      `import statistics


def analyze(numbers: list[float]) -> dict[str, float]:
    """Return the key figures of a list of numbers, as far as they are defined for it."""
    figures: dict[str, float] = {"count": len(numbers), "sum": sum(numbers)}
    if numbers:
        figures["mean"] = statistics.mean(numbers)
        figures["median"] = statistics.median(numbers)
        figures["minimum"] = min(numbers)
        figures["maximum"] = max(numbers)
        figures["range"] = max(numbers) - min(numbers)
    if len(numbers) >= 2:
        figures["standard deviation"] = statistics.stdev(numbers)
    return figures


samples: dict[str, list[float]] = {
    "Temperatures": [21.5, 19.0, 23.5, 22.0, 19.0, 24.5],
    "One number": [42.0],
    "No numbers": [],
}

for name, numbers in samples.items():
    print(name)
    for label, value in analyze(numbers).items():
        print(f"  {label:<20}{value:>10.2f}")`,
    ],
  },
];
