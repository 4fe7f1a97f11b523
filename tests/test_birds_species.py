import pytest

from training.transfer.species import written


@pytest.mark.parametrize(
    ("listed", "name"),
    [
        ("001.Black_footed_Albatross", "Black-footed Albatross"),
        ("Black_and_white_Warbler", "Black-and-white Warbler"),
        ("Black throated Blue Warbler", "Black-throated Blue Warbler"),
        ("American Three toed Woodpecker", "American Three-toed Woodpecker"),
        ("Nelson Sharp tailed Sparrow", "Nelson's Sharp-tailed Sparrow"),
        ("Le Conte Sparrow", "Le Conte's Sparrow"),
        ("Brewer_Blackbird", "Brewer's Blackbird"),
        ("Whip_poor_Will", "Whip-poor-will"),
        ("Artic Tern", "Arctic Tern"),
        ("Bobolink", "Bobolink"),
        ("Nighthawk", "Nighthawk"),
        ("Black-footed Albatross", "Black-footed Albatross"),
    ],
)
def test_species_are_written_as_people_do(listed, name):
    assert written(listed) == name
