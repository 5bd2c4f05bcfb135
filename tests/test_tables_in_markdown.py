from h2g.tables import markdown_table


def test_columns_are_aligned_and_cells_stay_as_they_are():
    rows = [("a|b", "1.10"), ["c\nd", "007"], ("", "57.32 ± 0.20")]
    assert markdown_table(["", "seconds"], rows).splitlines() == [
        "|      | seconds      |",
        "|------|--------------|",
        "| a\\|b | 1.10         |",
        "| c d  | 007          |",
        "|      | 57.32 ± 0.20 |",
    ]


def test_a_table_without_rows():
    assert markdown_table(["a", "b"], []).splitlines()[0].split() == ["|", "a", "|", "b", "|"]
