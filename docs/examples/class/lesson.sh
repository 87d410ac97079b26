#!/bin/sh
# A session of a class from the handouts to the grades, in the folder where you stand. Options go to each lab run.
# Here everybody works at this terminal, one after the other: sh lesson.sh --engine local --cpus 1
set -eu
key="$(dirname "$0")/key.toml"

# The teacher: what is given out, and what is for the teacher alone.
lab explain --course > course.md
lab explain pool --handout html > pool.html
lab explain pool --teacher > teacher.txt

# Each student: answer the questions, predict at the terminal, measure, and hand in the folder.
for student in anna ben; do
    echo "It is the turn of $student." >&2
    mkdir -p "handed-in/$student"
    lab run pool --quick --predict --label "$student" --output "handed-in/$student" "$@" > "handed-in/$student/report.txt"
    echo 'pool-1 = "2"' > "handed-in/$student/answers.toml"
done

# The teacher again: what was handed in is as it was measured; the class side by side; the points.
for session in handed-in/*/*/; do
    lab verify "$session"
done
lab class handed-in --output class.html
lab class handed-in
echo
lab grade handed-in --key "$key"
